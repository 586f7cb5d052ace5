"""Closed-loop load: each client sends its next request once the last is answered and checked.

Slower than wrk, which inspects no answer: for what is answered, not for how fast.
"""

import asyncio
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.lib.http_client import connect
from benchmarks.lib.request_formats import HUGGING_FACE, Scores, agree
from benchmarks.lib.subprocesses import in_background

LOST, MIXED = "no answer", "of no version"
"""How a broken connection is judged, and an answer that no version gives."""

Judge = Callable[[int, int | None, bytes], Hashable]
"""Names an answer: given the number of the request, the status, None if the connection broke, and
the body."""

_AGAIN = 0.05  # seconds until a connection that could not be opened is tried again
_ABORT_AFTER = 0.002  # seconds, at most, until a client that disconnects does


@dataclass
class Answers:
    """The answers so far: how many there are of each name, and when the last of each came."""

    counts: Counter[Any] = field(default_factory=Counter)
    last: dict[Any, float] = field(default_factory=dict)

    def add(self, name: Hashable) -> None:
        """Counts one more."""
        self.counts[name] += 1
        self.last[name] = time.perf_counter()


@contextmanager
def driving(
    port: int,
    requests: Sequence[bytes],
    connections: int,
    judge: Judge,
    *,
    aborts: Callable[[int], bool] = lambda _: False,
    pause: float = 0.0,
) -> Iterator[Answers]:
    """Sends requests in turn over so many connections, in a thread, until the block ends.

    A client disconnects before it is answered where `aborts` says so of the request's number, and
    pauses for `pause` seconds on average after each answer.
    """
    answers = Answers()

    async def client(number: int, ending: threading.Event) -> None:
        chance = random.Random(number)
        while not ending.is_set():
            try:
                connection = await connect(port)
            except OSError:
                answers.add(judge(number % len(requests), None, b""))
                await asyncio.sleep(_AGAIN)
                continue
            while connection.usable and not ending.is_set():
                place = number % len(requests)
                response = connection.send(requests[place])
                if aborts(place):
                    await asyncio.sleep(chance.random() * _ABORT_AFTER)
                    connection.abort()
                answers.add(judge(place, *await response))
                number += connections
                if pause:
                    await asyncio.sleep(chance.expovariate(1 / pause))
            connection.abort()

    async def clients(ending: threading.Event) -> None:
        await asyncio.gather(*(client(number, ending) for number in range(connections)))

    with in_background(lambda ending: asyncio.run(clients(ending))):
        yield answers


def judge_versions(versions: Mapping[str, Sequence[Scores]]) -> Judge:
    """Judges of which version an answer is, by what each version says of every request's text."""

    def judge(number: int, status: int | None, body: bytes) -> str:
        if status != 200:
            return LOST if status is None else f"status {status}"
        try:
            received = HUGGING_FACE.scores(body)
        except json.JSONDecodeError:
            return MIXED
        found = (name for name, scores in versions.items() if agree(received, scores[number]))
        return next(found, MIXED)

    return judge
