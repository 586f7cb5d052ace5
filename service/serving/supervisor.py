"""Several processes that serve one port: started, replaced when they die, told what changes.

Each worker loads the models itself and takes connections from the socket that all share, so one
that dies takes with it the requests it had and no others. What one worker is told to change of the
models, by HTTP, it tells here, and the others do the same. Knows nothing of HTTP or of models.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType

from gatewise.service.serving.model_versions import Change
from gatewise.vocab.errors import GatewiseError

_log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
"""Seconds before a worker is replaced that died young; doubled each time."""

_YOUNG = 10.0

Work = Callable[[socket.socket, Connection], None]
"""What a worker does: serve on the socket, say `"ready"`, tell changes and take those of others."""


class WorkerError(GatewiseError):
    """Supervisor that cannot even start."""


@dataclass(slots=True)
class _Worker:
    process: SpawnProcess
    pipe: Connection
    started: float = field(default_factory=time.monotonic)
    is_ready: bool = False


class Supervisor:
    """The processes of one service.

    Args:
        work: What each does; a function that can be pickled.
        listener: The socket that they share.
        number: How many there are.
        stop_seconds: How long a worker may take to stop before it is killed.
        forget: Told the number of a process that died.
    """

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
        """Serves until SIGTERM or SIGINT; SIGHUP is passed on to the workers.

        Args:
            ready: Called once, when every worker takes requests.

        Raises:
            WorkerError: If a worker ends before it has ever been ready.
        """
        previous = {
            number: signal.signal(number, act)
            for number, act in (
                (signal.SIGTERM, self._stop),
                (signal.SIGINT, self._stop),
                (signal.SIGHUP, self._pass_on),
            )
        }
        os.set_blocking(self._woken, False)
        former = signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        try:
            for _ in range(self._number):
                self._start()
            announced = False
            while not self._stopping:
                self._look()
                if not announced and all(worker.is_ready for worker in self._workers):
                    announced = True
                    ready()
        finally:
            self._end()
            signal.set_wakeup_fd(former)
            for number, act in previous.items():
                signal.signal(number, act)
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

    def _look(self) -> None:
        """Waits until something happens, and does what it asks for."""
        happened = wait(
            [
                self._wake,
                *(worker.process.sentinel for worker in self._workers),
                *(worker.pipe for worker in self._workers if not worker.pipe.closed),
            ]
        )
        if self._wake in happened:
            os.read(self._wake, 4096)
        for worker in list(self._workers):
            if worker.pipe in happened:
                self._listen_to(worker)
            if worker.process.sentinel in happened and not self._stopping:
                self._replace(worker)

    def _listen_to(self, worker: _Worker) -> None:
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
        if time.monotonic() - worker.started < _YOUNG:
            wait([self._wake], self._pause)  # a signal cuts it short
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        else:
            self._pause = _FIRST_PAUSE
        if not self._stopping:
            self._start()

    def _end(self) -> None:
        """Stops the workers, each of which answers its requests first."""
        # As long as it is open here, connections are made that nobody will take.
        self._listener.close()
        for worker in self._workers:
            worker.process.terminate()
        until = time.monotonic() + self._stop_seconds
        for worker in self._workers:
            worker.process.join(max(0.0, until - time.monotonic()))
            if worker.process.is_alive():
                _log.error("worker %s does not stop: killed", worker.process.pid)
                worker.process.kill()
                worker.process.join()

    def _stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._stopping = True

    def _pass_on(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        for worker in self._workers:
            if worker.is_ready and worker.process.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.process.pid, number)


def still_needed(changes: list[Change], change: Change) -> list[Change]:
    """What a process that starts now must be told, after one more change.

    Args:
        changes: What it must be told before that change.
        change: The change.
    """
    if change.action == "share":
        kept = [one for one in changes if (one.action, one.model) != ("share", change.model)]
        return [*kept, change]
    if change.action == "load":
        return [one for one in changes if one != replace(change, action="unload")]
    return [*changes, change] if change.action == "unload" else changes
