"""Some of a stream, drawn at random while it passes. Knows nothing of what is drawn."""

import random
from collections.abc import Iterable
from typing import TypeVar

_T = TypeVar("_T")


def drawn(items: Iterable[_T], most: int, seed: int = 1) -> list[_T]:
    """Up to so many of a stream's items, each as likely as any other (reservoir sampling).

    >>> drawn("abc", 5)
    ['a', 'b', 'c']

    Args:
        items: The stream; it is read to its end, and no more than `most` are kept of it.
        most: How many, and all if there are no more.
        seed: What the draw depends on.
    """
    generator = random.Random(seed)  # noqa: S311 — nothing is kept secret by it
    kept: list[_T] = []
    for number, item in enumerate(items):
        if number < most:
            kept.append(item)
        elif (place := generator.randint(0, number)) < most:
            kept[place] = item
    return kept
