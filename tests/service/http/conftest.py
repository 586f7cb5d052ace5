"""A service as a process of its own, with settings, for what a thread cannot show."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

Start = Callable[..., "Service"]


class Service:
    """A running `gatewise serve`.

    Attributes:
        process: The process.
        url: Its address.
        client: A client of it.
    """

    def __init__(self, arguments: list[str], settings: dict[str, object], stack: ExitStack) -> None:
        given = {f"GATEWISE_{name.upper()}": str(value) for name, value in settings.items()}
        self.process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "gatewise", "serve", "--port", "0", *arguments],
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, **given},
            )
        )
        stack.callback(self.process.kill)
        line = self.next_line()
        while " at http://" not in line:
            assert line, "the service did not start"
            line = self.next_line()
        self.url = line.partition(" at ")[2].partition(",")[0]
        self.client = stack.enter_context(
            httpx.Client(base_url=self.url, timeout=30, trust_env=False)
        )

    def next_line(self) -> str:
        """The next line of its log."""
        assert self.process.stderr is not None
        return self.process.stderr.readline()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def stop(self) -> tuple[int, str]:
        """Stops it; returns its exit code and the rest of its log."""
        self.process.terminate()
        _, rest = self.process.communicate(timeout=30)
        return self.process.returncode, rest


@pytest.fixture
def start(model_folder: Path) -> Iterator[Start]:
    """Starts services with settings; they end with the test."""
    with ExitStack() as stack:

        def start_one(*arguments: object, **settings: object) -> Service:
            named = [str(one) for one in arguments] or [str(model_folder)]
            return Service(named, settings, stack)

        yield start_one
