"""The learning-rate range test: which peak rate suits a network and its rows.

The rate rises from update to update, by the same factor each time, until the cost does too (Smith
2017, "Cyclical Learning Rates for Training Neural Networks", https://arxiv.org/abs/1506.01186). The
weights are then put back as they were.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from gatewise.training.fit.progress import RateTest
from gatewise.training.fit.train_step import Learner

_LOWEST, _HIGHEST = 1e-6, 10.0
_UPDATES = 140
"""Updates from the lowest rate to the highest: twenty for each factor of ten."""

_SMOOTHING = 0.9
_GROWN = 2.0
"""The test ends when the smoothed cost is this many times its lowest."""

_FALLEN = 0.02
"""Share of its value by which the cost must fall for the test to tell anything."""

_UNSURE = 10
"""Updates at the start whose smoothed cost is still too noisy to count as lowest."""

_BELOW_LOWEST = 0.1
"""The rate chosen, as a share of the one at which the cost was lowest."""


def range_test(learner: Learner, batches: Iterable[Sequence[Any]], otherwise: float) -> RateTest:
    """Runs the test and puts the learner back as it was.

    The rate chosen is a tenth of the one at which the smoothed cost was lowest: past that point
    the cost rises, and a run is to keep its distance from there.

    Args:
        learner: The network, not yet trained.
        batches: Training batches, as many as there may be; about 140 are taken.
        otherwise: The rate that is chosen if none made the cost fall.
    """
    state = learner.state()
    rates: list[float] = []
    losses: list[float] = []
    smoothed = weight = 0.0
    for number, batch in zip(range(_UPDATES), batches, strict=False):
        rate = _LOWEST * (_HIGHEST / _LOWEST) ** (number / (_UPDATES - 1))
        loss = learner.update(batch, rate)
        if not math.isfinite(loss):
            break
        smoothed = _SMOOTHING * smoothed + (1 - _SMOOTHING) * loss
        weight = _SMOOTHING * weight + (1 - _SMOOTHING)
        rates.append(rate)
        losses.append(smoothed / weight)
        if losses[-1] > _GROWN * min(losses[_UNSURE:], default=losses[0]):
            break
    learner.restore(state)
    sure = losses[_UNSURE:]
    if not sure or min(sure) > (1 - _FALLEN) * losses[min(_UNSURE, len(losses) - 1)]:
        return RateTest(tuple(rates), tuple(losses), otherwise, found=False)
    lowest = rates[_UNSURE + sure.index(min(sure))]
    return RateTest(tuple(rates), tuple(losses), float(f"{lowest * _BELOW_LOWEST:.2g}"))
