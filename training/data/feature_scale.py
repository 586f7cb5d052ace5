"""How the numbers of sequences are standardized, feature by feature.

A cost that stays flat or diverges at the default learning rate is most often unscaled data. The
scale is a part of the network, so that every runtime takes plain numbers.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gatewise.vocab.corpus.sequences import as_numbers


@dataclass(frozen=True, eq=False)
class FeatureScale:
    """The mean and the standard deviation of each feature of the training rows.

    Attributes:
        mean: The means, float32 `(features,)`; 0 of a feature that is always missing.
        deviation: The standard deviations, float32 `(features,)`; 1 of a feature that is constant
            or nearly so.
    """

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]

    @classmethod
    def of(cls, sequences: Iterable[str]) -> "FeatureScale":
        """The scale of some sequences, one at least, as JSON; missing numbers are left out."""
        # Sums of distances to a first number are as exact for large numbers as for small ones.
        origin = count = total = squares = np.zeros(0)
        for sequence in sequences:
            numbers = as_numbers(sequence).astype(np.float64)
            if not len(origin):
                origin = np.full(numbers.shape[1], np.nan)
                count, total, squares = np.zeros((3, numbers.shape[1]))
            known = ~np.isnan(numbers)
            firsts = numbers[known.argmax(axis=0), np.arange(len(origin))]
            origin = np.where(np.isnan(origin), firsts, origin)
            distances = np.where(known, numbers - origin, 0.0)
            count += known.sum(axis=0)
            total += distances.sum(axis=0)
            squares += np.square(distances).sum(axis=0)
        shift = total / np.maximum(count, 1)
        variance = squares / np.maximum(count, 1) - np.square(shift)
        deviation = np.sqrt(np.maximum(variance, 0)).astype(np.float32)
        return cls(
            np.where(count > 0, origin + shift, 0.0).astype(np.float32),
            # Runtimes may take a smaller number than the smallest normal one for zero.
            np.where(deviation >= np.finfo(np.float32).tiny, deviation, np.float32(1)),
        )

    @classmethod
    def none(cls, features: int) -> "FeatureScale":
        """The scale that leaves numbers as they are."""
        return cls(np.zeros(features, np.float32), np.ones(features, np.float32))
