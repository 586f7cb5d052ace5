"""What the tests of the command share: the command in a process of its own."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys
sys.modules.update(dict.fromkeys({missing!r}))
sys.argv = ["gatewise", *{arguments!r}]
from gatewise.cli import main
main()
"""


@pytest.fixture(scope="session", autouse=True)
def _briefly_timed(briefly_timed):
    """Every training of these tests is in a process with short measurements."""


@pytest.fixture(scope="session")
def process():
    """Runs `gatewise` as a process: for signals, for streams, and for what is imported."""

    def run(*arguments, stdin=b"", missing=(), **options):
        script = SCRIPT.format(missing=list(missing), arguments=list(map(str, arguments)))
        command = [sys.executable, "-c", script]
        ended = subprocess.run(command, input=stdin, capture_output=True, check=False, **options)
        return ended.returncode, ended.stdout.decode(), ended.stderr.decode()

    return run
