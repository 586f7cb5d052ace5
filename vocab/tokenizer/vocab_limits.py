"""What bounds a dictionary, and which entries are in it when there are too many. Knows no text."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class VocabLimits:
    """What bounds a dictionary.

    Attributes:
        vocab_size: Most entries, special ones included.
        min_frequency: Entries seen fewer times are left out.
        special_tokens: Entries that come first, whatever the corpus.
        unknown: The special token that stands for what is unknown.
    """

    vocab_size: int
    min_frequency: int
    special_tokens: Sequence[str]
    unknown: str

    @property
    def room(self) -> int:
        """Most entries beside the special ones."""
        return self.vocab_size - len(self.special_tokens)

    def most_frequent(self, counts: Mapping[str, int]) -> list[str]:
        """The entries that are frequent enough, by frequency, equals in order of the code."""
        kept = [entry for entry, count in counts.items() if count >= self.min_frequency]
        return sorted(kept, key=lambda entry: (-counts[entry], entry))

    def numbered(self, entries: Iterable[str]) -> dict[str, int]:
        """The id of each entry: the special ones, then those given, as far as there is room."""
        numbered = [*self.special_tokens, *entries][: self.vocab_size]
        return {entry: number for number, entry in enumerate(numbered)}
