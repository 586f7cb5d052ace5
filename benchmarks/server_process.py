"""A server in a process of its own: started, waited for until it is ready, stopped.

Knows nothing of what is served.
"""

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import process_tree
from process import FailedError

PATIENCE = 120.0
"""Seconds that a server is given to be ready."""

_GRACE = 20.0  # seconds that it is given to stop
_BETWEEN = 0.005  # seconds between two questions whether it is ready


@dataclass(frozen=True)
class Running:
    """A server that is ready.

    Attributes:
        process: Its process; what it has started itself are descendants of that.
        port: Where it listens on this machine.
        ready_seconds: From the start of the process to the first 200 of its readiness.
        log: The file that it writes both of its outputs to.
    """

    process: subprocess.Popen[bytes]
    port: int
    ready_seconds: float
    log: Path

    def logged(self) -> str:
        """What it has written so far, to standard output and to standard error."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def pid(self) -> int:
        """The id of its first process."""
        return self.process.pid


@contextmanager
def running(
    command: Callable[[int], Sequence[str | Path]],
    ready: str,
    environment: Mapping[str, str] | None = None,
    patience: float = PATIENCE,
) -> Iterator[Running]:
    """Starts a server on a free port, and stops it with all that it has started.

    Args:
        command: What to run, given the port.
        ready: The path that answers 200 once it is ready.
        environment: Variables that it has besides those of this process.
        patience: Seconds that it is given to be ready.

    Raises:
        FailedError: If it ends, or is not ready in time; with the last line of what it said.
    """
    port = free_port()
    arguments = [str(part) for part in command(port)]
    with TemporaryDirectory() as scratch, (Path(scratch) / "log").open("wb") as said:
        log, start = Path(said.name), time.perf_counter()
        try:
            process = subprocess.Popen(
                arguments,
                stdout=said,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        except OSError as error:
            raise FailedError(f"{arguments[0]}: cannot be run: {error.strerror}") from None
        try:
            while status(port, ready) != 200:
                late = time.perf_counter() - start > patience
                if late or process.poll() is not None:
                    what = f"not ready after {patience:.0f} s" if late else "ended"
                    lines = log.read_text(errors="replace").strip().splitlines() or ["nothing"]
                    raise FailedError(f"{Path(arguments[0]).name} {what}; it said: {lines[-1]}")
                time.sleep(_BETWEEN)
            yield Running(process, port, time.perf_counter() - start, log)
        finally:
            _stop(process)


def status(port: int, path: str) -> int | None:
    """What a path answers with; None if nothing is there that answers."""
    asking = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        asking.request("GET", path)
        return asking.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        asking.close()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _stop(process: subprocess.Popen[bytes]) -> None:
    everything = process_tree.tree(process.pid)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for left in everything[1:]:
        with suppress(ProcessLookupError):
            os.kill(left, signal.SIGKILL)
    end = time.monotonic() + _GRACE
    while any(map(process_tree.runs, everything[1:])) and time.monotonic() < end:
        time.sleep(_BETWEEN)
