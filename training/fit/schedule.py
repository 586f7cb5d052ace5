"""The learning rate of each update: a linear warm-up, then cosine or linear decay, or neither.

Plain arithmetic on the update's number. `cosine` is from I. Loshchilov, F. Hutter: SGDR: Stochastic
Gradient Descent with Warm Restarts, 2017, without restarts. Does not import TensorFlow.
"""

import math
from dataclasses import dataclass

from gatewise.training.config.training_section import Schedule


@dataclass(frozen=True)
class LearningRate:
    """The rate of every update of a run.

    Attributes:
        schedule: How it falls after the warm-up.
        peak: The highest rate.
        updates: Updates of the whole run.
        warmup: Share of them over which it rises from zero to the peak.
    """

    schedule: Schedule
    peak: float
    updates: int
    warmup: float

    @property
    def rising(self) -> int:
        """Updates of the warm-up."""
        return round(self.updates * self.warmup)

    def at(self, update: int) -> float:
        """The rate of an update, counted from zero.

        >>> LearningRate("constant", 0.4, updates=10, warmup=0.3).at(0)
        0.1
        """
        if update < self.rising:
            return self.peak * (update + 1) / (self.rising + 1)
        return self.peak * self._falling(update - self.rising, max(1, self.updates - self.rising))

    def _falling(self, update: int, updates: int) -> float:
        """Share of the peak, some updates after it."""
        done = min(1.0, update / updates)
        if self.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        if self.schedule == "linear":
            return 1 - done
        return 1.0
