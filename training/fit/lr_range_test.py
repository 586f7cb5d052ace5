"""The learning-rate range test, which chooses the peak rate for a network and its rows.

The rate is multiplied by the same factor after each update until the cost rises (Smith 2017,
"Cyclical Learning Rates for Training Neural Networks", https://arxiv.org/abs/1506.01186). The
weights are then restored.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from gatewise.training.fit.progress import RateTest
from gatewise.training.fit.train_step import Trainer

_LOWEST, _HIGHEST = 1e-6, 10.0
_UPDATES = 140
"""Updates from the lowest rate to the highest: twenty for each factor of ten."""

_SMOOTHING = 0.9
_STOP_FACTOR = 2.0
"""The test ends when the smoothed cost is this many times its lowest."""

_MIN_FALL = 0.02
"""The test is inconclusive if the cost falls by less than this share."""

_BURN_IN = 10
"""First updates, whose smoothed cost is too noisy to count as lowest."""

_CHOSEN_SHARE = 0.1
"""The chosen rate as a share of the one with the lowest cost."""


def range_test(trainer: Trainer, batches: Iterable[Sequence[Any]], default: float) -> RateTest:
    """Runs the test and restores the trainer's state.

    The chosen rate is a tenth of the one with the lowest smoothed cost, at a distance from the
    rates that make the cost rise.

    Args:
        trainer: The untrained network.
        batches: Training batches, of which about 140 are used.
        default: The rate that is chosen if no rate made the cost fall.
    """
    state = trainer.state()
    rates: list[float] = []
    losses: list[float] = []
    smoothed = weight = 0.0
    for number, batch in zip(range(_UPDATES), batches, strict=False):
        rate = _LOWEST * (_HIGHEST / _LOWEST) ** (number / (_UPDATES - 1))
        loss = trainer.update(batch, rate)
        if not math.isfinite(loss):
            break
        smoothed = _SMOOTHING * smoothed + (1 - _SMOOTHING) * loss
        weight = _SMOOTHING * weight + (1 - _SMOOTHING)
        rates.append(rate)
        losses.append(smoothed / weight)
        if losses[-1] > _STOP_FACTOR * min(losses[_BURN_IN:], default=losses[0]):
            break
    trainer.restore(state)
    settled = losses[_BURN_IN:]
    if not settled or min(settled) > (1 - _MIN_FALL) * losses[min(_BURN_IN, len(losses) - 1)]:
        return RateTest(tuple(rates), tuple(losses), default, found=False)
    lowest = rates[_BURN_IN + settled.index(min(settled))]
    return RateTest(tuple(rates), tuple(losses), float(f"{lowest * _CHOSEN_SHARE:.2g}"))
