"""Requests at a rate, whatever becomes of them: clients that do not wait for each other.

Each request has a moment at which it is due, by chance (a Poisson process), and is then sent over
a connection that is free, or over a new one. Owns the sending and the noting of what came back;
knows no server. The load is shared out among processes, for one alone could be what is slow.
"""

import asyncio
import gc
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context

import numpy as np
import uvloop
from numpy.typing import NDArray
from wire import Connection, connected

BROKEN, SILENT, HELD_BACK = 0, -1, -2
"""In the place of a status: no answer but a broken connection, no answer at all, never sent."""

_START = 1.0  # seconds in which the processes get ready


@dataclass(frozen=True)
class Plan:
    """What is to be asked.

    Attributes:
        port: Where, on this machine.
        requests: Whole requests, which are asked in turn.
        rate: Requests a second.
        seconds: How long.
        connections: Most that may be open; a request that would need more is held back.
        patience: Seconds that are waited for the last answers.
        seed: Of the moments at which requests are due.
    """

    port: int
    requests: Sequence[bytes]
    rate: float
    seconds: float
    connections: int = 2000
    patience: float = 10.0
    seed: int = 1


@dataclass(frozen=True)
class Answers:
    """What came of each request, in the order in which they were due.

    Attributes:
        due: Seconds from the start at which it was to be sent.
        late: Seconds from then to its being sent: how far behind the sender was.
        seconds: Seconds from its being sent, a new connection for it included, to its answer.
        status: Of the answer, or one of the constants of this module.
    """

    due: NDArray[np.float64]
    late: NDArray[np.float64]
    seconds: NDArray[np.float64]
    status: NDArray[np.int16]

    def of(self, *statuses: int) -> NDArray[np.float64]:
        """The seconds of those with one of these statuses."""
        return self.seconds[np.isin(self.status, statuses)]


def drive(plan: Plan, processes: int = 1) -> Answers:
    """Asks as planned.

    Args:
        plan: What to ask.
        processes: How many send, each its share.
    """
    start = time.monotonic() + _START
    shares = [
        replace(
            plan,
            rate=plan.rate / processes,
            connections=max(1, plan.connections // processes),
            seed=plan.seed * 1000 + number,
        )
        for number in range(processes)
    ]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        parts = list(pool.map(partial(_drive, start=start), shares))
    order = np.argsort(np.concatenate([part.due for part in parts]), kind="stable")
    return Answers(
        *(
            np.concatenate([getattr(part, name) for part in parts])[order]
            for name in ("due", "late", "seconds", "status")
        )
    )


def _drive(plan: Plan, start: float) -> Answers:
    gc.disable()  # a pause of the sender would count as one of the server
    return uvloop.run(_Sender(plan, start).run())


class _Sender:
    def __init__(self, plan: Plan, start: float) -> None:
        self._plan, self._start = plan, start
        random = np.random.default_rng(plan.seed)
        count = int(1.2 * plan.rate * plan.seconds + 100)
        due = np.cumsum(random.exponential(1 / plan.rate, count))
        self._due = due[due < plan.seconds]
        self._late = np.zeros(len(self._due))
        self._seconds = np.full(len(self._due), np.inf)
        self._status = np.full(len(self._due), SILENT, dtype=np.int16)
        self._idle: list[Connection] = []
        self._open = 0
        self._under_way = 0
        self._connecting: set[asyncio.Task[None]] = set()

    async def run(self) -> Answers:
        next_one, due = 0, self._due.tolist()
        while next_one < len(due):
            now = time.monotonic() - self._start
            while next_one < len(due) and due[next_one] <= now:
                self._send(next_one)
                next_one += 1
            if next_one < len(due):
                await asyncio.sleep(max(0, due[next_one] + self._start - time.monotonic()))
        give_up = time.monotonic() + self._plan.patience
        while self._under_way and time.monotonic() < give_up:
            await asyncio.sleep(0.01)
        return Answers(self._due, self._late, self._seconds, self._status.copy())

    def _send(self, number: int) -> None:
        sent = time.monotonic()
        self._late[number] = sent - self._start - self._due[number]
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                self._under_way += 1
                self._ask(connection, number, sent)
                return
            self._open -= 1
        if self._open >= self._plan.connections:
            self._status[number] = HELD_BACK
            return
        self._open += 1
        self._under_way += 1
        connecting = asyncio.get_running_loop().create_task(self._connect(number, sent))
        self._connecting.add(connecting)
        connecting.add_done_callback(self._connecting.discard)

    async def _connect(self, number: int, sent: float) -> None:
        try:
            connection = await connected(self._plan.port)
        except OSError:
            self._open -= 1
            self._note(number, sent, BROKEN)
            return
        self._ask(connection, number, sent)

    def _ask(self, connection: Connection, number: int, sent: float) -> None:
        def done(connection: Connection, status: int | None, _: bytes) -> None:
            self._note(number, sent, status or BROKEN)
            if connection.usable:
                self._idle.append(connection)
            else:
                self._open -= 1

        connection.ask(self._plan.requests[number % len(self._plan.requests)], done)

    def _note(self, number: int, sent: float, status: int) -> None:
        self._seconds[number] = time.monotonic() - sent
        self._status[number] = status
        self._under_way -= 1
