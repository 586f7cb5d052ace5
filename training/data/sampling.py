"""Some of a stream, drawn at random while it passes. Knows nothing of what is drawn."""

import random
from collections.abc import Iterable, Sequence
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


def fitting(items: Sequence[_T], sizes: Sequence[int], most: int, seed: int = 1) -> list[_T]:
    """Some of the items, in their order, whose sizes add up to a number at most.

    They are taken in a random order until one does not fit; the first is taken whatever its size.

    >>> fitting("abc", [2, 3, 4], 9)
    ['a', 'b', 'c']

    Args:
        items: The items.
        sizes: The size of each.
        most: What the sizes of those taken may add up to; all are taken if all fit.
        seed: What the draw depends on.
    """
    order = list(range(len(items)))
    if sum(sizes) > most:
        random.Random(seed).shuffle(order)  # noqa: S311 — as above
        total = 0
        for taken, number in enumerate(order):
            total += sizes[number]
            if total > most and taken:
                order = sorted(order[:taken])
                break
    return [items[number] for number in order]
