"""Clients that ask as soon as they are answered, every answer of which is looked at.

Slower than wrk, which looks at none: for finding out what is answered, not how fast. Knows no
server; what an answer is called, a function decides.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from beside import beside
from wire import asking, connected

Judge = Callable[[int, int | None, bytes], str]
"""What an answer is called: given the number of the request, the status, None if the connection
broke instead, and the body."""

_AGAIN = 0.05  # seconds until a connection that could not be opened is tried again


@dataclass
class Seen:
    """What has been answered so far.

    Attributes:
        counts: How many answers are called what.
        moments: When the first and the last of each came, as `time.perf_counter` tells.
        unopened: Connections that could not be opened, over which nothing was asked.
    """

    counts: Counter[str] = field(default_factory=Counter)
    moments: dict[str, tuple[float, float]] = field(default_factory=dict)
    unopened: int = 0

    def add(self, name: str) -> None:
        """Counts one more."""
        self.counts[name] += 1
        now = time.perf_counter()
        self.moments[name] = (self.moments.get(name, (now, now))[0], now)


@contextmanager
def driving(port: int, requests: Sequence[bytes], connections: int, judge: Judge) -> Iterator[Seen]:
    """Asks over so many connections, in a thread of its own, until the block ends.

    Args:
        port: Where, on this machine.
        requests: Whole requests, which are asked in turn.
        connections: How many clients there are.
        judge: What an answer is called.

    Raises:
        FailedError: If clients have ended before they were told to.
    """
    seen = Seen()

    async def client(number: int, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                connection = await connected(port)
            except OSError:
                seen.unopened += 1
                await asyncio.sleep(_AGAIN)
                continue
            while connection.usable and not stop.is_set():
                status, body = await asking(connection, requests[number % len(requests)])
                seen.add(judge(number % len(requests), status, body))
                number += connections
            connection.abort()

    async def clients(stop: threading.Event) -> None:
        await asyncio.gather(*(client(number, stop) for number in range(connections)))

    with beside(lambda stop: asyncio.run(clients(stop))):
        yield seen
