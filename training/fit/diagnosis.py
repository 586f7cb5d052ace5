"""Diagnosis of a run's training cost: it diverges, is flat, falls or has settled.

A learning rate that is too small leaves the cost flat, and one that is too large makes it diverge.
Does not import TensorFlow.
"""

import math
from dataclasses import dataclass

FLAT = "the cost is flat"
"""The beginning of the message about a flat cost."""

_SMOOTHING = 0.9
_DIVERGED = 3.0
"""The smoothed cost diverges if it exceeds its first value by this factor."""

_USABLE = 1.5
"""Weights are worth keeping up to this factor of the first cost."""

_FLAT = 0.01
"""A cost is flat if it has fallen by less than this share of its first value."""

_RISEN = 0.05
"""A flat cost has risen if it exceeds its first value by more than this share."""

_SETTLED = 0.05
"""A cost has settled if the last epoch brought at most this share of its total fall."""


@dataclass
class Cost:
    """The running training cost.

    Attributes:
        first: Cost of the first batch, that of the untrained network; None before it.
        smoothed: Exponential moving average, not yet divided by its weight.
        weight: Weight of the moving average.
        epoch_sum: Sum over the rows of the current epoch.
        epoch_rows: Number of rows of the current epoch so far.
        guess: Cost of giving every label the same probability. Where the linear path is solved, the
            first batch may cost far less than the next ones.
    """

    first: float | None = None
    smoothed: float = 0.0
    weight: float = 0.0
    epoch_sum: float = 0.0
    epoch_rows: int = 0
    guess: float = 0.0

    def add(self, loss: float, rows: int = 1) -> None:
        """Adds the cost of one update, the mean over its rows."""
        if self.first is None:
            self.first = loss
        self.smoothed = _SMOOTHING * self.smoothed + (1 - _SMOOTHING) * loss
        self.weight = _SMOOTHING * self.weight + (1 - _SMOOTHING)
        self.epoch_sum += loss * rows
        self.epoch_rows += rows

    @property
    def now(self) -> float:
        """The smoothed cost."""
        return self.smoothed / self.weight if self.weight else math.nan

    @property
    def epoch_mean(self) -> float:
        """Mean over the current epoch."""
        return self.epoch_sum / self.epoch_rows if self.epoch_rows else math.nan

    def end_epoch(self) -> None:
        """Resets the mean of the epoch."""
        self.epoch_sum, self.epoch_rows = 0.0, 0

    @property
    def diverges(self) -> bool:
        """Whether the cost is not finite or far above that of the untrained network."""
        if self.first is None:
            return False
        return not math.isfinite(self.now) or self.now > _DIVERGED * max(self.first, self.guess)

    @property
    def is_good(self) -> bool:
        """Whether the weights are worth restoring: not much worse than untrained ones."""
        if self.first is None:
            return False
        return max(self.now, self.epoch_mean) <= _USABLE * max(self.first, self.guess)


def divergence(update: int, cost: Cost, rate: float, lowered: float) -> str:
    """The message about a cost that diverges."""
    now = f"{cost.now:.3g}" if math.isfinite(cost.now) else "a number that is not finite"
    return (
        f"update {update}: the cost diverges, from {cost.first:.3g} to {now}: the learning rate "
        f"{rate:.3g} is too large. The last good weights are restored and training continues with "
        f"{lowered:.3g}"
    )


def flatness(first: float, epoch_mean: float, rate: float) -> str | None:
    """The message about a cost that has hardly changed, or has risen; None if it has fallen."""
    if epoch_mean < (1 - _FLAT) * first:
        return None
    if epoch_mean > (1 + _RISEN) * first:
        return (
            f"{FLAT}, and higher than at the start: {epoch_mean:.4g}, where the untrained network "
            f"had {first:.4g}: the learning rate {rate:.3g} is too large, or the inputs are "
            "unrelated to the labels"
        )
    return (
        f"{FLAT}: {epoch_mean:.4g}, where the untrained network had {first:.4g}: the "
        f"learning rate {rate:.3g} is too small, or the inputs are unrelated to the labels"
    )


def ending(
    first: float, epoch_means: list[float], *, stopped: bool, best_was_last: bool
) -> str | None:
    """The message at the end of a run; None if it is too short, flat or stopped while falling.

    Args:
        first: The cost of the untrained network.
        epoch_means: The mean cost of each epoch.
        stopped: Whether training stopped early because the validation metric did not improve.
        best_was_last: Whether the last epoch had a better validation metric than all others.
    """
    if len(epoch_means) < 3:
        return None
    last, before = epoch_means[-1], epoch_means[-2]
    if flatness(first, last, 1.0):
        return None
    if best_was_last and not stopped:
        return (
            f"the best epoch was the last, {len(epoch_means)}: more epochs may help "
            "(training.epochs)"
        )
    if before - last > _SETTLED * (first - last):
        if stopped:
            return None
        return (
            f"the cost was still falling when training ended, from {before:.3g} to {last:.3g} in "
            "the last epoch: more training.epochs may help"
        )
    return f"the cost fell from {first:.3g} to {last:.3g} and has settled"
