"""A server in a process of its own: started, waited for until it is ready, stopped."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from benchmarks.lib import process_usage
from benchmarks.lib.command import BenchmarkError
from benchmarks.lib.http_client import get_status

_PATIENCE = 120.0  # seconds that a server is given to be ready
_GRACE = 20.0  # seconds that it is given to stop
_BETWEEN = 0.005  # seconds between two checks


@dataclass(frozen=True)
class RunningServer:
    """A server that is ready."""

    pid: int
    port: int
    ready_seconds: float  # from the start of the process to the first 200 of its readiness
    log: Path  # the file that both of its outputs go to


@contextmanager
def running(
    command: Callable[[int], Sequence[str | Path]],
    ready: str,
    environment: Mapping[str, str],
) -> Iterator[RunningServer]:
    """Starts a server on a free port, and stops it with all that it has started.

    `command` is what to run on a port; `ready` is the path that answers 200 once it is ready.

    Raises:
        BenchmarkError: If it ends, or is not ready in time; with the last line of its output.
    """
    port = free_port()
    arguments = [str(part) for part in command(port)]
    with TemporaryDirectory() as scratch, (Path(scratch) / "log").open("wb") as output:
        log, start = Path(output.name), time.perf_counter()
        process = subprocess.Popen(
            arguments,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        try:
            while get_status(port, ready) != 200:
                late = time.perf_counter() - start > _PATIENCE
                if late or process.poll() is not None:
                    what = f"was not ready after {_PATIENCE:.0f} s" if late else "ended"
                    lines = log.read_text(errors="replace").strip().splitlines() or ["nothing"]
                    raise BenchmarkError(f"{Path(arguments[0]).name} {what}: {lines[-1]}")
                time.sleep(_BETWEEN)
            yield RunningServer(process.pid, port, time.perf_counter() - start, log)
        finally:
            _stop(process)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _stop(process: subprocess.Popen[bytes]) -> None:
    descendants = process_usage.tree(process.pid)[1:]
    process.terminate()
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for left in descendants:
        with suppress(psutil.NoSuchProcess):
            left.kill()
    psutil.wait_procs(descendants, _GRACE)
