"""The confidence interval of a share of rows."""

import math
from typing import NamedTuple

_Z = 1.959963984540054
"""The 97.5 % quantile of the normal distribution, for an interval of 95 %."""


class Interval(NamedTuple):
    """Bounds that the true share lies between in 95 of 100 cases."""

    low: float
    high: float


def wilson(share: float, rows: int) -> Interval:
    """The 95 % interval of a share (E. B. Wilson: Probable Inference, JASA 1927).

    >>> [round(bound, 3) for bound in wilson(0.9, 50)]
    [0.786, 0.957]

    Args:
        share: The share of the rows, from 0 to 1.
        rows: Number of rows; without any, nothing is known.
    """
    if not rows:
        return Interval(0.0, 1.0)
    spread = _Z**2 / rows
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(spread * (share * (1 - share) + spread / 4)) / (1 + spread)
    return Interval(max(0.0, middle - half), min(1.0, middle + half))
