"""What a run's cost says of its learning rate, in plain words.

A rate that is too small leaves the cost flat, one that is too large makes it diverge, and one that
is well chosen lets it fall and settle. Knows losses alone. Does not import TensorFlow.
"""

import math
from dataclasses import dataclass

FLAT = "the cost is flat"
"""How that finding begins."""

_SMOOTHING = 0.9
_GROWN = 3.0
"""How many times its first value the smoothed cost may reach before it counts as diverging."""

_GOOD = 1.5
"""How many times its first value the cost may be for the weights to be worth keeping."""

_FLAT = 0.01
"""Share of its first value by which the cost must fall not to be called flat."""

_RISEN = 0.05
"""Share of its first value by which a cost may be higher and still count as flat."""

_SETTLED = 0.05
"""Share of the whole fall that the last epoch may still bring when a cost has settled."""


@dataclass
class Cost:
    """The training cost as it goes on; the network's first cost is before any update.

    Attributes:
        first: Cost of the first batch; None before it.
        smoothed: Moving average, not yet divided by its weight.
        weight: Weight of the moving average.
        epoch_sum: Sum over the rows of the present epoch.
        epoch_rows: Rows of the present epoch.
    """

    first: float | None = None
    smoothed: float = 0.0
    weight: float = 0.0
    epoch_sum: float = 0.0
    epoch_rows: int = 0

    def add(self, loss: float, rows: int = 1) -> None:
        """Takes the cost of one update, the mean over its rows."""
        if self.first is None:
            self.first = loss
        self.smoothed = _SMOOTHING * self.smoothed + (1 - _SMOOTHING) * loss
        self.weight = _SMOOTHING * self.weight + (1 - _SMOOTHING)
        self.epoch_sum += loss * rows
        self.epoch_rows += rows

    @property
    def now(self) -> float:
        """The cost of late, smoothed."""
        return self.smoothed / self.weight if self.weight else math.nan

    @property
    def epoch_mean(self) -> float:
        """Mean over the present epoch."""
        return self.epoch_sum / self.epoch_rows if self.epoch_rows else math.nan

    def end_epoch(self) -> None:
        """Begins a new mean."""
        self.epoch_sum, self.epoch_rows = 0.0, 0

    @property
    def diverges(self) -> bool:
        """Whether the cost is no number, or far above that of the untrained network."""
        if self.first is None:
            return False
        return not math.isfinite(self.now) or self.now > _GROWN * self.first

    @property
    def is_good(self) -> bool:
        """Whether the weights are worth going back to: no worse than untrained ones."""
        return self.first is not None and max(self.now, self.epoch_mean) <= _GOOD * self.first


def divergence(update: int, cost: Cost, rate: float, lowered: float) -> str:
    """What is told when the cost diverges."""
    now = f"{cost.now:.3g}" if math.isfinite(cost.now) else "no finite number"
    return (
        f"update {update}: the cost diverges, from {cost.first:.3g} to {now}: the learning rate "
        f"{rate:.3g} is too large. The last good weights are restored and training goes on with "
        f"{lowered:.3g}"
    )


def flatness(first: float, epoch_mean: float, rate: float) -> str | None:
    """What is told if the cost has hardly moved, or has risen; None if it has fallen."""
    if epoch_mean < (1 - _FLAT) * first:
        return None
    if epoch_mean > (1 + _RISEN) * first:
        return (
            f"{FLAT}, and higher than at the start: {epoch_mean:.4g}, where the untrained network "
            f"had {first:.4g}: the learning rate {rate:.3g} is too large, or the inputs say "
            "nothing of the labels"
        )
    return (
        f"{FLAT}: {epoch_mean:.4g}, where the untrained network had {first:.4g}: the "
        f"learning rate {rate:.3g} is too small, or the inputs say nothing of the labels"
    )


def ending(first: float, epoch_means: list[float], *, stopped: bool) -> str | None:
    """What is told of a run's whole course; None if there is too little of it to tell.

    Args:
        first: The cost of the untrained network.
        epoch_means: That of each epoch.
        stopped: Whether the run was ended before its time, for want of a better validation metric.
    """
    if len(epoch_means) < 3:
        return None
    last, before = epoch_means[-1], epoch_means[-2]
    if flatness(first, last, 1.0):
        return None
    if before - last > _SETTLED * (first - last):
        if stopped:
            return None
        return (
            f"the cost was still falling when training ended, from {before:.3g} to {last:.3g} in "
            "the last epoch: more training.epochs may help"
        )
    return f"the cost fell from {first:.3g} to {last:.3g} and has settled"
