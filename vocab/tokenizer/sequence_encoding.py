"""Encodes sequences of numbers: the vector of a step takes the place of a token.

The numbers stay as they are, missing ones NaN: the network standardizes them, so that whatever runs
it takes plain numbers.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from gatewise.vocab.corpus.sequences import Numbers, as_numbers
from gatewise.vocab.tokenizer.coverage import Coverage
from gatewise.vocab.tokenizer.encoding import Encoded, Ragged, last_kept
from gatewise.vocab.tokenizer.incremental_tokenizer import TokenDelta
from gatewise.vocab.tokenizer.text_limit import Keep


class SequenceEncoder:
    """Encodes sequences of numbers; the counterpart of `encoding.Encoder`.

    Args:
        features: Numbers of a step.
        max_length: Steps that are read of a sequence, at most.
        keep: Which steps of a longer sequence are read.
    """

    def __init__(self, features: int, max_length: int, keep: Keep = "head") -> None:
        self.features, self.max_length, self.keep = features, max_length, keep

    def cut(self, sequence: str) -> str:
        """The sequence as it is: a part of its JSON would be none."""
        return sequence

    def encode(self, sequences: Sequence[str | Numbers]) -> list[Encoded]:
        """The steps of each sequence, given as JSON or as an array.

        Raises:
            SequenceError: One of them is something else, or has steps of another width.
        """
        return [self._truncated(sequence) for sequence in sequences]

    def encode_together(self, sequences: Sequence[str | Numbers]) -> Ragged:
        """The steps of many sequences in one array."""
        return Ragged.of(self.encode(sequences))

    def _truncated(self, sequence: str | Numbers) -> Encoded:
        if isinstance(sequence, np.ndarray) and not len(sequence):
            return Encoded(sequence, False)  # a missing one
        numbers = as_numbers(sequence, self.features)
        if len(numbers) <= self.max_length:
            return Encoded(numbers, False)
        # There is no begin mark, which a text has besides what is kept of its end.
        last = last_kept(self.max_length + 1, self.keep)
        first = numbers[: self.max_length - last]
        return Encoded(np.concatenate([first, numbers[len(numbers) - last :]]), True)


class IncrementalSequence:
    """A sequence that arrives step by step; the counterpart of `IncrementalText`."""

    def add(self, steps: Iterable[Numbers] = ()) -> TokenDelta[Numbers]:
        """The steps themselves, which nothing that follows changes."""
        return TokenDelta([*steps], [])


class MissingCounter:
    """Counts the numbers that are missing, as `CoverageCounter` counts unknown tokens."""

    has_pieces = False

    def count(self, sequences: Sequence[Numbers]) -> Coverage:
        """The numbers of some sequences, and those that are not missing."""
        total = sum(numbers.size for numbers in sequences)
        return Coverage(len(sequences), total, total - self.count_unknown(sequences))

    def count_unknown(self, sequences: Sequence[Numbers]) -> int:
        """The numbers that are missing."""
        return sum(int(np.isnan(numbers).sum()) for numbers in sequences)
