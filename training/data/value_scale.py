"""How the numbers of a regression are standardized for training.

A network that starts with outputs near zero learns targets with mean 0 and standard deviation 1 at
the usual learning rates. The exported network has the scale in its last weights.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from gatewise.vocab.corpus.corpus_reader import Row
from gatewise.vocab.errors import CorpusError

_MIN_SHARE = 1e-5
"""The least standard deviation, as a share of the mean: a hundred times the rounding of a float."""

_MIN_DEVIATION = 1e-30
"""The least standard deviation at all; smaller floats have fewer digits."""


@dataclass(frozen=True, eq=False)
class ValueScale:
    """The mean and the standard deviation of each number of the training rows.

    Attributes:
        mean: The means, float64 `(numbers,)`.
        deviation: The standard deviations, above zero, float64 `(numbers,)`.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Iterable[Row]) -> "ValueScale":
        """The scale of some training rows.

        Raises:
            CorpusError: All of them have the same number, or numbers that a model cannot tell
                apart, because it predicts in 32-bit floats.
        """
        stream = iter(rows)
        first = next(stream)
        values = values_of(chain([first], stream))
        # Each by itself: a mean of rows of a matrix would be rounded in another way.
        means, deviations = zip(*((each.mean(), each.std()) for each in values.T), strict=True)
        scale = cls(np.array(means), np.array(deviations))
        for name, mean, deviation in zip(first.labels, scale.mean, scale.deviation, strict=True):
            place = f"training rows: {name}" if len(first.labels) > 1 else "training rows"
            # Rounding alone gives equal numbers a deviation near zero.
            if deviation <= 1e-12 * max(abs(mean), 1e-300):
                raise CorpusError(
                    f"{place}: expected different numbers, received {mean:g} in every row: there "
                    "is nothing to learn"
                )
            if deviation < max(_MIN_SHARE * abs(mean), _MIN_DEVIATION):
                raise CorpusError(
                    f"{place}: expected numbers that 32-bit floats can tell apart, in which a "
                    f"model predicts, received a mean of {mean:g} and a standard deviation of "
                    f"{deviation:g}: subtract the mean from the numbers, or give them in another "
                    "unit"
                )
        return scale

    @property
    def rmse_unit(self) -> float:
        """What the root of the mean loss is multiplied by to be an RMSE.

        Of one number it is its deviation. Several have units of their own: their errors together
        are measured in standard deviations.
        """
        return float(self.deviation[0]) if len(self.deviation) == 1 else 1.0

    def standardized(self, rows: Sequence[Row]) -> NDArray[np.float32]:
        """The targets of some rows, float32 `(rows, numbers)`."""
        return ((values_of(rows) - self.mean) / self.deviation).astype(np.float32)


def values_of(rows: Iterable[Row]) -> NDArray[np.float64]:
    """The numbers of some rows of a regression, float64 `(rows, numbers)`.

    Raises:
        ValueError: A row has none: it is of another task.
    """
    values = [row.values for row in rows]
    if None in values:
        raise ValueError("expected rows with numbers, received rows of another task")
    return np.array(values, dtype=np.float64)
