"""The sizes of a network that follow from the corpus, and the layout of its n-gram table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """The sizes of a network that are not in its settings.

    Attributes:
        vocab_size: Tokens in the vocabulary.
        classes: Number of classes.
        ngrams: n-gram lengths of the linear path, ascending; empty for none.
        buckets: Hash buckets of each n-gram length above one.
        ngram_width: Length of an n-gram's vector; None for one weight per class.
        features: Numbers of a step, if the network reads sequences of numbers; 0 for texts.
    """

    vocab_size: int
    classes: int
    ngrams: tuple[int, ...]
    buckets: int = 50_000
    ngram_width: int | None = None
    features: int = 0

    def table(self) -> "NgramTable":
        """The layout of the n-gram table."""
        return NgramTable(
            self.ngrams, self.vocab_size, self.buckets, self.ngram_width or self.classes
        )


@dataclass(frozen=True)
class NgramTable:
    """The layout of the one weight table of all n-gram lengths.

    Rows `0 … vocab_size - 1` are single tokens, by id; each longer n-gram length has `buckets`
    rows after them. Row 0 is that of padding and never counts.

    Attributes:
        lengths: n-gram lengths, ascending.
        vocab_size: Tokens in the vocabulary.
        buckets: Rows for each length above one.
        width: Length of a row.
    """

    lengths: tuple[int, ...]
    vocab_size: int
    buckets: int
    width: int

    @property
    def hashed(self) -> int:
        """Number of lengths above one."""
        return sum(length > 1 for length in self.lengths)

    @property
    def rows(self) -> int:
        """Number of rows of the table."""
        return self.vocab_size + self.hashed * self.buckets

    def offset(self, length: int) -> int:
        """The first row of an n-gram length above one."""
        longer = [known for known in self.lengths if known > 1]
        return self.vocab_size + longer.index(length) * self.buckets
