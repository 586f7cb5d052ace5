"""Modules of the benchmarks and the command `gatewise`, each in a process of its own."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from benchmarks.lib.command import ROOT, BenchmarkError


def environment(**more: str) -> dict[str, str]:
    """This process's variables, with this checkout first on Python's path."""
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), **more}


def gatewise_command(*arguments: object) -> list[str]:
    """The command `gatewise` of this checkout; run it in `environment()`."""
    return [sys.executable, "-m", "gatewise", *map(str, arguments)]


def last_line(module: str, arguments: Sequence[str]) -> str:
    """The last line that a module prints when it is run.

    Raises:
        BenchmarkError: If it fails; with the last line of its standard error.
    """
    ended = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    if ended.returncode:
        lines = ended.stderr.strip().splitlines() or [f"{module} ended with {ended.returncode}"]
        raise BenchmarkError(lines[-1])
    return ended.stdout.strip().splitlines()[-1]


@contextmanager
def in_background(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Does work in a thread until the block ends; the event is set when it does.

    Raises:
        BenchmarkError: If the work has failed.
    """
    ending = threading.Event()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work(ending)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
    if errors:
        raise BenchmarkError(f"the work in the background failed: {errors[0]!r}")
