"""Takes turns: what is timed is called round by round, each beginning with another.

So a busy moment of the machine falls on all of them. Knows not what is called, nor where the clock
is that tells how long it took.
"""

import statistics
import time
from collections.abc import Callable, Sequence

CALLS = 10
"""How often each is called in a round."""

Times = Callable[[int], Sequence[float]]
"""Milliseconds of each of so many calls, after one that is not counted."""


def by_clock(run: Callable[[], object]) -> Times:
    """The times of a function of this process.

    Args:
        run: What is called.
    """

    def times(calls: int) -> list[float]:
        run()  # to warm the caches that another has filled
        found = []
        for _ in range(calls):
            start = time.perf_counter()
            run()
            found.append(1000 * (time.perf_counter() - start))
        return found

    return times


def take(timed: Sequence[Times], repeats: int, calls: int = CALLS) -> list[list[float]]:
    """Milliseconds of a call in each round, for each of those that take turns.

    Args:
        timed: What is timed.
        repeats: Rounds.
        calls: Calls of each in each round, whose median is the round's.
    """
    rounds: list[list[float]] = [[] for _ in timed]
    for number in range(repeats):
        for place in range(len(timed)):
            index = (number + place) % len(timed)
            rounds[index].append(statistics.median(timed[index](calls)))
    return rounds
