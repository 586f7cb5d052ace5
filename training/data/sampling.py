"""Random samples of a stream or a list."""

import random
from collections.abc import Iterable, Sequence
from typing import TypeVar

_T = TypeVar("_T")


def reservoir(items: Iterable[_T], size: int, seed: int = 1) -> list[_T]:
    """A uniform sample of a stream (reservoir sampling).

    >>> reservoir("abc", 5)
    ['a', 'b', 'c']

    Args:
        items: The stream; it is read to its end, and no more than `size` items are kept.
        size: Items of the sample; all items if there are no more.
        seed: Seed of the sample.
    """
    generator = random.Random(seed)  # noqa: S311 — not for secrets
    kept: list[_T] = []
    for number, item in enumerate(items):
        if number < size:
            kept.append(item)
        elif (place := generator.randint(0, number)) < size:
            kept[place] = item
    return kept


def sample_of_size(
    items: Sequence[_T], sizes: Sequence[int], limit: int, seed: int = 1
) -> list[_T]:
    """A sample of the items, in their order, whose sizes add up to no more than a limit.

    They are drawn in a random order until one does not fit; the first is drawn whatever its size.

    >>> sample_of_size("abc", [2, 3, 4], 9)
    ['a', 'b', 'c']

    Args:
        items: The items.
        sizes: The size of each.
        limit: The limit; if all items fit, all are returned.
        seed: Seed of the sample.
    """
    order = list(range(len(items)))
    if sum(sizes) > limit:
        random.Random(seed).shuffle(order)  # noqa: S311
        total = 0
        for taken, number in enumerate(order):
            total += sizes[number]
            if total > limit and taken:
                order = sorted(order[:taken])
                break
    return [items[number] for number in order]
