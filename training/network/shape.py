"""The sizes of a network that follow from the corpus, and the layout of its n-gram table.

Plain numbers; knows neither Keras nor TensorFlow.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """What the network's sizes follow from beside the config.

    Attributes:
        vocab_size: Tokens in the dictionary.
        classes: Number of classes.
        ngrams: n-gram lengths of the linear path, ascending; empty for none.
        buckets: Hash buckets of each n-gram length above one.
        ngram_width: Numbers that each n-gram has: one for each class, or fewer.
    """

    vocab_size: int
    classes: int
    ngrams: tuple[int, ...]
    buckets: int = 50_000
    ngram_width: int | None = None

    def table(self) -> "NgramTable":
        """The layout of the n-gram table."""
        return NgramTable(
            self.ngrams, self.vocab_size, self.buckets, self.ngram_width or self.classes
        )


@dataclass(frozen=True)
class NgramTable:
    """Where each n-gram's weights stand in the one table of the path.

    Rows `0 … vocab_size - 1` are single tokens, by id; each longer n-gram has `buckets` rows
    after that. Row 0 is the padding token's and is never counted.

    Attributes:
        lengths: n-gram lengths, ascending.
        vocab_size: Tokens in the dictionary.
        buckets: Rows for each length above one.
        width: Numbers of a row.
    """

    lengths: tuple[int, ...]
    vocab_size: int
    buckets: int
    width: int

    @property
    def hashed(self) -> int:
        """How many of the lengths are above one."""
        return sum(length > 1 for length in self.lengths)

    @property
    def rows(self) -> int:
        """Rows of the table."""
        return self.vocab_size + self.hashed * self.buckets

    def offset(self, length: int) -> int:
        """The first row of an n-gram length above one."""
        longer = [known for known in self.lengths if known > 1]
        return self.vocab_size + longer.index(length) * self.buckets
