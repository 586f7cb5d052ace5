"""The learning rate of each update: a warm-up, then one of Keras's schedules by name.

Plain arithmetic on the update's number, from the definitions of `keras.optimizers.schedules`
(https://keras.io/api/optimizers/learning_rate_schedules/). Does not import TensorFlow.
"""

import math
from dataclasses import dataclass

from gatewise.training.config.training_section import Schedule

_LEFT = 0.01
"""Share of the peak that is left at the end of a schedule without an end of its own."""

_RESTARTS = 3
"""Periods of `cosine_restarts`, each twice as long as the one before."""


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
            return _cosine(done)
        if self.schedule == "cosine_restarts":
            return _cosine_restarts(done)
        if self.schedule == "linear":
            return 1 - done
        if self.schedule == "exponential":
            return float(_LEFT**done)
        if self.schedule == "inverse_time":
            return 1 / (1 + (1 / _LEFT - 1) * done)
        return 1.0


def _cosine(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * done))


def _cosine_restarts(done: float) -> float:
    first = 1 / (2**_RESTARTS - 1)
    period = min(_RESTARTS - 1, int(math.log2(done / first + 1)))
    began = first * (2**period - 1)
    return _cosine((done - began) / (first * 2**period))
