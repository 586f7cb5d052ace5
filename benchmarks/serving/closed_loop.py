"""Clients that send again as soon as they are answered, every answer of which is judged.

Slower than wrk, which inspects no answer: for what is answered, not for how fast.
"""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.lib.http_client import connect, response_to
from benchmarks.lib.request_formats import HUGGING_FACE, Scores, agree
from benchmarks.lib.subprocesses import in_background

LOST, MIXED = "no answer", "of no version"
"""How a broken connection is judged, and an answer that no version gives."""

Judge = Callable[[int, int | None, bytes], str]
"""Names an answer: given the number of the request, the status, None if the connection broke, and
the body."""

_AGAIN = 0.05  # seconds until a connection that could not be opened is tried again


@dataclass
class Answers:
    """The answers so far: how many there are of each name, and when the last of each came."""

    counts: Counter[str] = field(default_factory=Counter)
    last: dict[str, float] = field(default_factory=dict)

    def add(self, name: str) -> None:
        """Counts one more."""
        self.counts[name] += 1
        self.last[name] = time.perf_counter()


@contextmanager
def driving(
    port: int, requests: Sequence[bytes], connections: int, judge: Judge
) -> Iterator[Answers]:
    """Sends requests in turn over so many connections, in a thread, until the block ends."""
    answers = Answers()

    async def client(number: int, ending: threading.Event) -> None:
        while not ending.is_set():
            try:
                connection = await connect(port)
            except OSError:
                await asyncio.sleep(_AGAIN)
                continue
            while connection.usable and not ending.is_set():
                status, body = await response_to(connection, requests[number % len(requests)])
                answers.add(judge(number % len(requests), status, body))
                number += connections
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
