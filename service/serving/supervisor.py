"""The supervisor of worker processes that share a port: starts, replaces and stops them.

Each worker loads the models itself and accepts connections from the shared socket. A worker that
dies loses its own requests and no others. A change of the models that one worker gets by HTTP is
passed on to the others.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType

from gatewise.service.serving.model_registry import Change
from gatewise.vocab.errors import GatewiseError

_log = logging.getLogger(__name__)

_FIRST_PAUSE, _MAX_PAUSE = 0.1, 10.0
"""Seconds before a worker is replaced that died soon after its start; doubled each time."""

_SOON = 10.0

Work = Callable[[socket.socket, Connection], None]
"""A worker: serves on the socket, sends `"ready"` and its changes, applies those it receives."""


SignalHandlers = Mapping[signal.Signals, Callable[[int, FrameType | None], object]]


class WorkerError(GatewiseError):
    """A worker cannot start."""


@dataclass(slots=True)
class _Worker:
    process: SpawnProcess
    pipe: Connection
    started: float = field(default_factory=time.monotonic)
    is_ready: bool = False


class Supervisor:
    """The workers of one service; `forget` is called with the process id of one that died."""

    def __init__(
        self,
        work: Work,
        listener: socket.socket,
        number: int,
        stop_seconds: float,
        forget: Callable[[int], None],
    ) -> None:
        self._work = work
        self._listener = listener
        self._number = number
        self._stop_seconds = stop_seconds
        self._forget = forget
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._changes: list[Change] = []
        self._pause = _FIRST_PAUSE
        self._stopping = False
        self._wake, self._woken = os.pipe()

    def run(self, ready: Callable[[], None]) -> None:
        """Serves until SIGTERM or SIGINT, and passes SIGHUP on to the workers.

        `ready` is called once every worker takes requests; one that ends before is an error.
        """
        handlers: SignalHandlers = {
            signal.SIGTERM: self._stop,
            signal.SIGINT: self._stop,
            signal.SIGHUP: self._forward,
        }
        with signal_handlers(handlers):
            os.set_blocking(self._woken, False)
            former = signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
            try:
                for _ in range(self._number):
                    self._start()
                announced = False
                while not self._stopping:
                    self._wait()
                    if not announced and all(worker.is_ready for worker in self._workers):
                        announced = True
                        ready()
            finally:
                self._end()
                signal.set_wakeup_fd(former)
                for end in (self._wake, self._woken):
                    os.close(end)

    def _start(self) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=self._work, args=(self._listener, theirs), name="gatewise-worker"
        )
        process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours))
        for change in self._changes:
            ours.send(change)

    def _wait(self) -> None:
        """Waits for a signal, a message or the end of a worker, and handles it."""
        events = wait(
            [
                self._wake,
                *(worker.process.sentinel for worker in self._workers),
                *(worker.pipe for worker in self._workers if not worker.pipe.closed),
            ]
        )
        if self._wake in events:
            os.read(self._wake, 4096)
        for worker in list(self._workers):
            if worker.pipe in events:
                self._receive(worker)
            if worker.process.sentinel in events and not self._stopping:
                self._replace(worker)

    def _receive(self, worker: _Worker) -> None:
        try:
            message = worker.pipe.recv()
        except (EOFError, OSError):
            worker.pipe.close()
            return
        if not isinstance(message, Change):
            worker.is_ready = True
            return
        self._changes = still_needed(self._changes, message)
        for other in self._workers:
            if other is not worker and not other.pipe.closed:
                with contextlib.suppress(OSError):
                    other.pipe.send(message)

    def _replace(self, worker: _Worker) -> None:
        worker.process.join()
        self._workers.remove(worker)
        worker.pipe.close()
        code = worker.process.exitcode
        if not worker.is_ready:
            raise WorkerError(f"a worker ended with code {code} before it was ready")
        _log.error("worker %s ended with code %s: replaced", worker.process.pid, code)
        if worker.process.pid:
            self._forget(worker.process.pid)
        if time.monotonic() - worker.started < _SOON:
            wait([self._wake], self._pause)  # a signal ends it
            self._pause = min(2 * self._pause, _MAX_PAUSE)
        else:
            self._pause = _FIRST_PAUSE
        if not self._stopping:
            self._start()

    def _end(self) -> None:
        """Stops the workers, which answer their requests first."""
        # While it is open here, the kernel makes connections that no worker accepts.
        self._listener.close()
        for worker in self._workers:
            worker.process.terminate()
        deadline = time.monotonic() + self._stop_seconds
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                _log.error("worker %s does not stop: killed", worker.process.pid)
                worker.process.kill()
                worker.process.join()

    def _stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._stopping = True

    def _forward(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        for worker in self._workers:
            if worker.is_ready and worker.process.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.process.pid, number)


@contextlib.contextmanager
def signal_handlers(handlers: SignalHandlers) -> Iterator[None]:
    """Handles signals while the block runs."""
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, former in previous.items():
            signal.signal(number, former)


def still_needed(changes: list[Change], change: Change) -> list[Change]:
    """Returns the changes that a process which starts now must apply."""
    if change.action == "share":
        others = [
            other for other in changes if (other.action, other.model) != ("share", change.model)
        ]
        return [*others, change]
    if change.action == "load":
        return [other for other in changes if other != replace(change, action="unload")]
    return [*changes, change] if change.action == "unload" else changes
