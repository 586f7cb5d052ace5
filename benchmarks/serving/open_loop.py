"""Open-loop load: requests at a fixed rate, whether or not the earlier ones are answered.

Each request is due at a moment drawn from a Poisson process, and is then sent over a connection
that is free, or over a new one.
"""

import asyncio
import gc
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import uvloop
from numpy.typing import NDArray

from benchmarks.lib.http_client import Connection, Response, connect

BROKEN, NO_ANSWER, NOT_SENT = 0, -1, -2
"""In place of a status: the connection broke; nothing came; all connections were waiting."""

_PATIENCE = 10.0  # seconds that the last answers are waited for


@dataclass(frozen=True)
class Plan:
    """What is to be sent."""

    port: int
    requests: Sequence[bytes]  # complete, and sent in turn
    rate: float  # requests a second
    seconds: float
    connections: int = 2000  # most that may be open; a request that would need more is not sent


@dataclass(frozen=True)
class Outcomes:
    """What came of each request, in the order in which they were due."""

    due: NDArray[np.float64]  # seconds from the start at which it was to be sent
    late: NDArray[np.float64]  # seconds from then to its being sent
    seconds: NDArray[np.float64]  # from its being sent, with a new connection for it, to its answer
    status: NDArray[np.int16]  # of the answer, or one of the constants of this module

    def seconds_of(self, *statuses: int) -> NDArray[np.float64]:
        """The seconds of the answers with one of these statuses."""
        return self.seconds[np.isin(self.status, statuses)]


def drive(plan: Plan) -> Outcomes:
    """Sends as planned, in a process of its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_drive, plan).result()


def _drive(plan: Plan) -> Outcomes:
    gc.disable()  # a pause of the sender would count as one of the server
    return uvloop.run(_Sender(plan).run())


class _Sender:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        random = np.random.default_rng(1)
        count = int(1.2 * plan.rate * plan.seconds + 100)
        due = np.cumsum(random.exponential(1 / plan.rate, count))
        self._due = due[due < plan.seconds]
        self._late = np.zeros(len(self._due))
        self._seconds = np.full(len(self._due), np.inf)
        self._status = np.full(len(self._due), NO_ANSWER, dtype=np.int16)
        self._idle: list[Connection] = []
        self._open = 0
        self._in_flight = 0
        self._connecting: set[asyncio.Task[None]] = set()

    async def run(self) -> Outcomes:
        number, due, self._start = 0, self._due.tolist(), time.monotonic()
        while number < len(due):
            now = time.monotonic() - self._start
            while number < len(due) and due[number] <= now:
                self._send(number)
                number += 1
            if number < len(due):
                await asyncio.sleep(max(0, due[number] + self._start - time.monotonic()))
        give_up = time.monotonic() + _PATIENCE
        while self._in_flight and time.monotonic() < give_up:
            await asyncio.sleep(0.01)
        return Outcomes(self._due, self._late, self._seconds, self._status.copy())

    def _send(self, number: int) -> None:
        sent = time.monotonic()
        self._late[number] = sent - self._start - self._due[number]
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                self._in_flight += 1
                self._send_over(connection, number, sent)
                return
            self._open -= 1
        if self._open >= self._plan.connections:
            self._status[number] = NOT_SENT
            return
        self._open += 1
        self._in_flight += 1
        connecting = asyncio.get_running_loop().create_task(self._connect(number, sent))
        self._connecting.add(connecting)
        connecting.add_done_callback(self._connecting.discard)

    async def _connect(self, number: int, sent: float) -> None:
        try:
            connection = await connect(self._plan.port)
        except OSError:
            self._open -= 1
            self._record(number, sent, BROKEN)
            return
        self._send_over(connection, number, sent)

    def _send_over(self, connection: Connection, number: int, sent: float) -> None:
        def answered(response: Response) -> None:
            status, _ = response.result()
            self._record(number, sent, status or BROKEN)
            if connection.usable:
                self._idle.append(connection)
            else:
                self._open -= 1

        request = self._plan.requests[number % len(self._plan.requests)]
        connection.send(request).add_done_callback(answered)

    def _record(self, number: int, sent: float, status: int) -> None:
        self._seconds[number] = time.monotonic() - sent
        self._status[number] = status
        self._in_flight -= 1
