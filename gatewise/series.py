"""Time series as rows: chunks of observations, and what follows each.

rows = windows(observations, steps=24, horizon=1, validation=0.1, test=0.2)
model = gatewise.train(*rows.train, validation=rows.validation, test=rows.test,
                       task="regression")
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gatewise.vocab.errors import ArgumentError

Floats = NDArray[np.float64]


class SeriesRows(NamedTuple):
    """Rows in the order of time, as `gatewise.train` takes them.

    Attributes:
        sequences: The chunks, `(rows, steps)` or `(rows, steps, features)`.
        values: The number to predict from each, `(rows,)`.
    """

    sequences: Floats
    values: Floats


@dataclass(frozen=True, eq=False)
class SplitSeries:
    """The rows of a series, split by time.

    Attributes:
        train: The earliest rows.
        validation: Later ones; None if no share was asked for.
        test: The latest ones; None likewise.
    """

    train: SeriesRows
    validation: SeriesRows | None
    test: SeriesRows | None


def windows(
    values: Any,
    steps: int,
    horizon: int = 1,
    *,
    target: Any = None,
    validation: float = 0.0,
    test: float = 0.0,
) -> SplitSeries:
    """Turns series into rows: as a window slides over a series, each chunk is a row.

    A row holds the observations `t - steps + 1 … t`, and its number is the target at
    `t + horizon`. Rows are split by time, never at random: every number of an earlier part is known
    when the first forecast of a later part is made, so the `horizon - 1` rows between two parts are
    left out. Rows without a number are left out too; missing observations, NaN, stay.

    >>> rows = windows([1.0, 2.0, 3.0, 4.0, 5.0], steps=2, test=0.34).train
    >>> rows.sequences.tolist(), rows.values.tolist()
    ([[1.0, 2.0], [2.0, 3.0]], [3.0, 4.0])

    Args:
        values: One series: an array or a list of numbers, `(time,)`, or an array or a data frame of
            vectors, `(time, features)`. Or several: a list of such series, whose rows are split
            each by its own time.
        steps: Observations of a chunk.
        horizon: How many steps ahead the target is.
        target: The column of the target among the features, by its number; or another series, as
            long as `values`, or a list of them. None for the series itself, if it has one number a
            step.
        validation: Share of the rows that validate.
        test: Share of the rows to report on at the end.

    Raises:
        ArgumentError: A series is too short, or an argument does not fit.
    """
    for name, number in (("steps", steps), ("horizon", horizon)):
        if not _is_whole(number) or number < 1:
            raise ArgumentError(f"{name}: expected a whole number from 1, received {number!r}")
    for name, share in (("validation", validation), ("test", test)):
        if not isinstance(share, int | float | np.floating):
            raise ArgumentError(f"{name}: expected a share from 0 to 1, received {share!r}")
    if not (min(validation, test) >= 0 and validation + test < 1):  # NaN, too
        raise ArgumentError(
            "validation and test: expected shares from 0 that leave rows for training, received "
            f"{validation} and {test}"
        )
    several = _are_several(values)
    names = [f"values[{place}]" for place in range(len(values))] if several else ["values"]
    series = [_series(*each) for each in zip(values if several else [values], names, strict=True)]
    if len({each.shape[1:] for each in series}) > 1:
        shapes = " and ".join(str(each.shape) for each in series[:3])
        raise ArgumentError(f"values: expected series of as many features each, received {shapes}")
    is_column = target is None or _is_whole(target)
    targets = [target] * len(series) if is_column or not several else target
    if not isinstance(targets, list | tuple | np.ndarray) or len(targets) != len(series):
        is_list = isinstance(targets, list | tuple | np.ndarray)
        received = len(targets) if is_list else f"a value of type {type(targets).__name__}"
        raise ArgumentError(
            f"target: expected a list of one for each of {len(series)} series, received {received}"
        )
    shares = (1 - validation - test, validation, test)
    parts = [
        _split(each, _target(each, of), steps, horizon, shares, name)
        for each, of, name in zip(series, targets, names, strict=True)
    ]
    train, *later = (
        SeriesRows(*map(np.concatenate, zip(*of_part, strict=True)))
        for of_part in zip(*parts, strict=True)
    )
    asked = zip(later, shares[1:], strict=True)
    return SplitSeries(train, *(rows if share else None for rows, share in asked))


def _are_several(values: Any) -> bool:
    if not isinstance(values, list | tuple) or not values:
        return False
    return np.asarray(values[0], dtype=object).ndim > 0


def _is_whole(number: object) -> bool:
    return isinstance(number, int | np.integer) and not isinstance(number, bool)


def _series(values: Any, name: str) -> Floats:
    found = _floats(values, name)
    if found.ndim not in (1, 2):
        raise ArgumentError(
            f"{name}: expected a series (time,) or (time, features), or a list of them, received "
            f"an array of {found.ndim} dimensions"
        )
    return found


def _floats(values: Any, name: str) -> Floats:
    try:
        if isinstance(values, np.ma.MaskedArray):
            values = np.ma.filled(values.astype(np.float64), np.nan)
        found = np.asarray(values)
        if found.dtype.kind not in "cmM":  # converting a date would give a number
            found = np.asarray(values, dtype=np.float64)
    # A text, vectors of different widths, or an integer that is too large.
    except (TypeError, ValueError, OverflowError) as error:
        raise ArgumentError(f"{name}: expected numbers of one shape: {error}") from None
    if found.dtype != np.float64:
        raise ArgumentError(f"{name}: expected numbers of one shape: received {found.dtype}")
    if np.isinf(found).any():
        (step, *_) = np.argwhere(np.isinf(found))[0] if found.ndim else (0,)
        raise ArgumentError(
            f"{name}: expected finite numbers, or NaN for a missing one, received infinity at step "
            f"{step}, counted from 0"
        )
    return found


def _target(series: Floats, target: Any) -> Floats:
    if target is None:
        if series.ndim == 2 and series.shape[1] == 1:
            return series[:, 0]
        if series.ndim == 2:
            raise ArgumentError(
                f"target: expected the number of a feature, or another series, because a step has "
                f"{series.shape[1]} numbers; received none"
            )
        return series
    if _is_whole(target):
        if series.ndim != 2 or not 0 <= target < series.shape[1]:
            raise ArgumentError(f"target: expected the number of a feature, received {target}")
        return series[:, target]
    found = _floats(target, "target")
    if found.shape != series.shape[:1]:
        raise ArgumentError(
            f"target: expected a series of {len(series)} numbers, as long as values, received "
            f"{found.shape}"
        )
    return found


def _split(
    series: Floats, target: Floats, steps: int, horizon: int, shares: Sequence[float], name: str
) -> list[SeriesRows]:
    """The rows of one series, in three parts."""
    count = len(series) - steps - horizon + 1
    if count < 1:
        raise ArgumentError(
            f"{name}: expected a series of {steps + horizon} observations or more, for steps="
            f"{steps} and horizon={horizon}, received {len(series)}"
        )
    chunks = np.lib.stride_tricks.sliding_window_view(series[:-horizon], steps, axis=0)
    chunks = np.moveaxis(chunks, -1, 1)
    numbers = target[steps + horizon - 1 :]
    bounds = np.rint(np.cumsum([0, *shares]) * count).astype(int)
    parts = []
    for first, last in pairwise(bounds.tolist()):
        # The last number of the part before must be known at the end of the first chunk.
        rows = np.arange(first + (horizon - 1 if first else 0), last)
        rows = rows[~np.isnan(numbers[rows])]
        parts.append(SeriesRows(chunks[rows], numbers[rows]))
    if any(share and not len(rows.values) for share, rows in zip(shares, parts, strict=True)):
        raise ArgumentError(
            f"{name}: too few rows, {count}, for a part each of training, validation and test: "
            "give a longer series, or other shares"
        )
    return parts
