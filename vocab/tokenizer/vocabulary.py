"""Choosing the entries of a vocabulary: counts in bounded memory, limits on size and frequency."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class VocabLimits:
    """The limits of a vocabulary, and its special tokens, which are counted in `vocab_size`.

    Entries with a lower count than `min_frequency` are left out.
    """

    vocab_size: int
    min_frequency: int
    special_tokens: Sequence[str]
    unknown: str

    @property
    def room(self) -> int:
        """Maximum number of entries besides the special tokens."""
        return self.vocab_size - len(self.special_tokens)

    def most_frequent(self, counts: Mapping[str, int]) -> list[str]:
        """The entries that are frequent enough, by descending count, then by code point."""
        kept = [entry for entry, count in counts.items() if count >= self.min_frequency]
        return sorted(kept, key=lambda entry: (-counts[entry], entry))

    def numbered(self, entries: Iterable[str]) -> dict[str, int]:
        """The id of each entry: the special tokens, then `entries` up to `vocab_size`."""
        numbered = [*self.special_tokens, *entries][: self.vocab_size]
        return {entry: number for number, entry in enumerate(numbered)}


class BoundedCounter:
    """Counts of the most frequent items of a stream, about 200 bytes each.

    When there are more items than the limit, the rarest are dropped until half the limit is left.
    Items about as rare as those may be counted too low or be missing. The result depends on the
    order of the items alone (after G. S. Manku, R. Motwani: Approximate Frequency Counts over Data
    Streams, VLDB 2002).
    """

    def __init__(self, limit: int = 1_000_000) -> None:
        self._limit = limit
        self._counter: Counter[str] = Counter()

    def add(self, items: Iterable[str]) -> None:
        """Count some items."""
        self._counter.update(items)
        if len(self._counter) > self._limit:
            self._drop_rarest()

    def ranked(self, min_frequency: int = 1) -> Iterator[tuple[str, int]]:
        """The items and their counts, by descending count, then by code point."""
        kept = (entry for entry in self._counter.items() if entry[1] >= min_frequency)
        yield from sorted(kept, key=lambda entry: (-entry[1], entry[0]))

    def _drop_rarest(self) -> None:
        left, highest = len(self._counter), 0
        for count, items in sorted(Counter(self._counter.values()).items()):
            if left <= self._limit // 2:
                break
            left, highest = left - items, count
        self._counter = Counter(
            {item: count for item, count in self._counter.items() if count > highest}
        )
