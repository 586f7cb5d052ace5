"""How good a network is on the validation rows, as it is trained.

Counts with scikit-learn, and once training has ended looks at each of the network's paths. Knows
logits and targets; the finished model's figures are `gatewise.training.evaluation.evaluate`'s,
from the classifier that serves.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from gatewise.training.config.training_section import Metric
from gatewise.training.data.examples import Examples
from gatewise.training.evaluation.calibration import negative_log_likelihood
from gatewise.training.evaluation.thresholds import choose
from gatewise.training.fit.dataset import in_order, tensors
from gatewise.training.fit.path_weights import balance
from gatewise.training.fit.train_step import Learner
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import accuracy_score, f1_score

_BATCH = 256


@dataclass(frozen=True)
class Validation:
    """The figures of one look at the validation rows.

    Attributes:
        loss: Mean cross-entropy, in nats.
        metric: The metric of choice.
    """

    loss: float
    metric: float


_Answer = tuple[list[NDArray[np.float32]], Any]
"""The logits of each path, and the targets, of some rows."""

_MOST_LOGITS = 2**20
"""Most logits of a path that its part is chosen by: of more rows, the first batches are taken."""


def validate(
    learner: Learner, examples: Examples, metric: Metric, *, multi_label: bool
) -> Validation:
    """Classifies the validation rows with the weights as they are.

    Where the network's paths learnt apart, each counts as it is best for these rows, as it will in
    the exported network. In a multi-label task the metrics are those with the thresholds that suit
    these rows best.

    Args:
        learner: The network.
        examples: The validation rows.
        metric: What to count beside the loss.
        multi_label: Whether a text may have several labels.
    """
    stream = _answers(learner, examples)
    sample = _sample(stream) if learner.apart else []
    factors = _factors(learner, sample, multi_label=multi_label)
    total = 0.0
    predicted, truth = [], []
    for parts, targets in chain(sample, stream):
        logits = sum(factor * part for factor, part in zip(factors, parts, strict=True))
        logits = np.asarray(logits, dtype=np.float32)
        total += negative_log_likelihood(logits, targets, multi_label=multi_label) * len(logits)
        if multi_label:
            predicted.append(expit(logits))
            truth.append(targets >= 0.5)
        else:
            predicted.append(logits.argmax(axis=1))
            truth.append(targets if targets.ndim == 1 else targets.argmax(axis=1))
    loss = total / len(examples)
    if metric == "loss" or not np.isfinite(loss):
        return Validation(loss, loss)
    answers, expected = np.concatenate(predicted), np.concatenate(truth)
    if multi_label:
        answers = answers >= np.array(choose(answers, expected), dtype=answers.dtype)
    if metric == "accuracy":
        return Validation(loss, float(accuracy_score(expected, answers)))
    average = "macro" if metric == "macro_f1" else "micro"
    # As in the report: the mean is over the labels that occur.
    occurring = None if multi_label or average == "micro" else np.unique(expected)
    f1 = f1_score(expected, answers, labels=occurring, average=average, zero_division=0)
    return Validation(loss, float(f1))


def balance_paths(learner: Learner, examples: Examples, *, multi_label: bool) -> tuple[float, ...]:
    """What the logits of each path are multiplied by; see `gatewise.training.fit.path_weights`.

    Args:
        learner: The network.
        examples: The validation rows.
        multi_label: Whether a text may have several labels.

    Returns:
        A number for each path; 1 for each where they learnt together.
    """
    sample = _sample(_answers(learner, examples)) if learner.apart else []
    return _factors(learner, sample, multi_label=multi_label)


def _factors(learner: Learner, sample: list[_Answer], *, multi_label: bool) -> tuple[float, ...]:
    if not learner.apart:
        return (1.0,) * learner.paths
    paths = [np.concatenate(parts) for parts in zip(*(found for found, _ in sample), strict=True)]
    if not all(np.isfinite(path).all() for path in paths):
        return (1.0,) * learner.paths
    targets = np.concatenate([truth for _, truth in sample])
    return balance(
        paths, lambda logits: negative_log_likelihood(logits, targets, multi_label=multi_label)
    )


def _sample(answers: Iterator[_Answer]) -> list[_Answer]:
    """The first answers, taken from the stream until there are logits enough."""
    sample: list[_Answer] = []
    logits = 0
    for parts, targets in answers:
        sample.append((parts, targets))
        logits += parts[0].size
        if logits >= _MOST_LOGITS:
            break
    return sample


def _answers(learner: Learner, examples: Examples) -> Iterator[_Answer]:
    """The logits of each path, and the targets, of some rows at a time."""
    for batch in tensors(examples, in_order(examples, _BATCH), None):
        yield learner.answer(batch), batch[2].numpy()
