"""The learning-rate schedule: a linear warm-up, then cosine decay, linear decay or a constant.

`cosine` is from I. Loshchilov, F. Hutter: SGDR: Stochastic Gradient Descent with Warm Restarts,
2017, without restarts.
"""

import math
from dataclasses import dataclass

from gatewise.training.config.training_section import Schedule


@dataclass(frozen=True)
class LearningRate:
    """The rate of every update of a run.

    Attributes:
        schedule: The decay after the warm-up.
        peak: The highest rate.
        updates: Number of updates of the run.
        warmup: Share of the updates in which the rate rises from zero to the peak.
    """

    schedule: Schedule
    peak: float
    updates: int
    warmup: float

    @property
    def warmup_updates(self) -> int:
        """Number of updates of the warm-up."""
        return round(self.updates * self.warmup)

    def at(self, update: int) -> float:
        """The rate of an update, counted from zero.

        >>> LearningRate("constant", 0.4, updates=10, warmup=0.3).at(0)
        0.1
        """
        if update < self.warmup_updates:
            return self.peak * (update + 1) / (self.warmup_updates + 1)
        decay_updates = max(1, self.updates - self.warmup_updates)
        return self.peak * self._decay(min(1.0, (update - self.warmup_updates) / decay_updates))

    def _decay(self, done: float) -> float:
        """The rate as a share of the peak, after a share of the decay."""
        if self.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        if self.schedule == "linear":
            return 1 - done
        return 1.0
