"""How the numbers of a regression are standardized for training.

A network that starts with outputs near zero learns targets with mean 0 and standard deviation 1 at
the usual learning rates. The exported network has the scale in its last weights.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gatewise.vocab.corpus.corpus_reader import Row
from gatewise.vocab.errors import CorpusError

_MIN_SHARE = 1e-5
"""The least standard deviation, as a share of the mean: a hundred times the rounding of a float."""

_MIN_DEVIATION = 1e-30
"""The least standard deviation at all; smaller floats have fewer digits."""


@dataclass(frozen=True)
class ValueScale:
    """The mean and the standard deviation of the training rows.

    Attributes:
        mean: The mean.
        deviation: The standard deviation, above zero.
    """

    mean: float
    deviation: float

    @classmethod
    def of(cls, rows: Iterable[Row]) -> "ValueScale":
        """The scale of some training rows.

        Raises:
            CorpusError: All of them have the same number, or numbers that a model cannot tell
                apart, because it predicts in 32-bit floats.
        """
        values = values_of(rows)
        mean, deviation = float(values.mean()), float(values.std())
        # Rounding alone gives equal numbers a deviation near zero.
        if deviation <= 1e-12 * max(abs(mean), 1e-300):
            raise CorpusError(
                f"training rows: expected different numbers, received {mean:g} in every row: there "
                "is nothing to learn"
            )
        if deviation < max(_MIN_SHARE * abs(mean), _MIN_DEVIATION):
            raise CorpusError(
                f"training rows: expected numbers that 32-bit floats can tell apart, in which a "
                f"model predicts, received a mean of {mean:g} and a standard deviation of "
                f"{deviation:g}: subtract the mean from the numbers, or give them in another unit"
            )
        return cls(mean, deviation)

    def standardized(self, rows: Sequence[Row]) -> NDArray[np.float32]:
        """The targets of some rows, `(rows, 1)`."""
        scaled = (values_of(rows) - self.mean) / self.deviation
        return scaled.astype(np.float32)[:, None]


def values_of(rows: Iterable[Row]) -> NDArray[np.float64]:
    """The numbers of some rows of a regression, `(rows,)`.

    Raises:
        ValueError: A row has none: it is of another task.
    """
    values = [row.value for row in rows]
    found = np.array(values, dtype=np.float64)
    if None in values:
        raise ValueError("expected rows with a number each, received rows of another task")
    return found
