"""What the tests of the command share: the command, in this process and in one of its own."""

import io
import signal
import subprocess
import sys
from typing import NamedTuple

import pytest

from gatewise import cli


class Ended(NamedTuple):
    """What a command left: its exit code and its two streams."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture
def gatewise(capsys, monkeypatch):
    """Runs `gatewise` in this process, which saves the seconds in which it would be imported."""

    def run(*arguments, stdin=b"", cwd=None):
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
        capsys.readouterr()
        code = 0
        with monkeypatch.context() as patched:
            patched.setattr(sys, "argv", ["gatewise", *map(str, arguments)])
            patched.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
            if cwd is not None:
                patched.chdir(cwd)
            try:
                cli.main()
            except SystemExit as end:
                code = end.code or 0
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
        return Ended(code, *capsys.readouterr())

    return run


@pytest.fixture
def refused(gatewise):
    """The one line that a command ends with; it must have failed, without a word on stdout."""

    def run(*arguments, **options):
        code, stdout, stderr = gatewise(*arguments, **options)
        assert (code, stdout) == (1, ""), stderr
        lines = stderr.splitlines()
        assert len(lines) == 1, stderr
        assert lines[0].startswith("gatewise: error: ")
        return lines[0].removeprefix("gatewise: error: ")

    return run


@pytest.fixture(scope="session")
def process():
    """Runs `gatewise` as a process: for signals, for streams, and for what is imported."""

    def run(*arguments, stdin=b"", **options):
        command = [sys.executable, "-m", "gatewise", *map(str, arguments)]
        ended = subprocess.run(command, input=stdin, capture_output=True, check=False, **options)
        return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    return run
