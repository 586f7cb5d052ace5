"""Interleaved timing: the candidates run in rounds, so that a busy moment slows all of them."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

CALLS = 10
"""How often each is called in a round."""

Timer = Callable[[int], Sequence[float]]
"""Milliseconds of each of so many calls, after one that is not counted."""


def rotated(items: Sequence[T], rounds: int) -> Iterator[T]:
    """Every item once a round, each round beginning with the next one.

    >>> list(rotated("ab", 2))
    ['a', 'b', 'b', 'a']
    """
    for number in range(rounds):
        for place in range(len(items)):
            yield items[(number + place) % len(items)]


def by_clock(call: Callable[[], object]) -> Timer:
    """A timer of a function of this process."""

    def timer(calls: int) -> list[float]:
        call()  # to warm the caches that another has filled
        return [1000 * seconds(call) for _ in range(calls)]

    return timer


def seconds(call: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def interleaved(timers: Sequence[Timer], rounds: int, calls: int = CALLS) -> list[list[float]]:
    """For each timer, the median milliseconds of a call in each round."""
    medians: list[list[float]] = [[] for _ in timers]
    for index in rotated(range(len(timers)), rounds):
        medians[index].append(statistics.median(timers[index](calls)))
    return medians
