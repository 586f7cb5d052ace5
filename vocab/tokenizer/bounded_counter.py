"""How often words and phrases occur, counted in bounded memory.

Knows nothing of texts or of what a dictionary makes of the counts.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

LIMIT = 1_000_000


class BoundedCounter:
    """Counts of the most frequent items of a stream.

    Once there are more items than the limit, the rarest are forgotten, until half the limit is
    left: an item that is as rare as those may be counted too low, or be missing. This depends on
    nothing but the order of the items (after G. S. Manku, R. Motwani: Approximate Frequency
    Counts over Data Streams, VLDB 2002).

    Args:
        limit: Most items counted at a time, about 200 bytes each.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._counter: Counter[str] = Counter()

    def __getitem__(self, item: str) -> int:
        return self._counter[item]

    def add(self, items: Iterable[str]) -> None:
        """Counts some items."""
        self._counter.update(items)
        if len(self._counter) > self._limit:
            self._forget()

    def ranked(self, min_frequency: int = 1) -> Iterator[tuple[str, int]]:
        """The items with their counts, the most frequent first, equals in order of the code."""
        kept = (entry for entry in self._counter.items() if entry[1] >= min_frequency)
        yield from sorted(kept, key=lambda entry: (-entry[1], entry[0]))

    def _forget(self) -> None:
        left, highest = len(self._counter), 0
        for count, items in sorted(Counter(self._counter.values()).items()):
            if left <= self._limit // 2:
                break
            left, highest = left - items, count
        self._counter = Counter(
            {item: count for item, count in self._counter.items() if count > highest}
        )
