"""How good a network is on the validation rows, as it is trained.

Counts with scikit-learn. Knows logits and targets; the finished model's figures are
`training.evaluation.evaluate`'s, from the classifier that serves.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from sklearn.metrics import accuracy_score, f1_score

from training.evaluation.thresholds import choose
from training.fitting.dataset import dataset, in_order
from training.fitting.learner import Learner
from training.rows.examples import Examples
from training.settings.training import Metric

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


def validate(
    learner: Learner, examples: Examples, metric: Metric, *, multi_label: bool
) -> Validation:
    """Classifies the validation rows with the weights as they are.

    In a multi-label task the metrics are those with the thresholds that suit these rows best.

    Args:
        learner: The network.
        examples: The validation rows.
        metric: What to count beside the loss.
        multi_label: Whether a text may have several labels.
    """
    total = 0.0
    predicted, truth = [], []
    rows = in_order(examples, _BATCH)
    for batch in dataset(examples, rows, None):
        logits, loss = learner.answer(batch)
        total += loss * len(logits)
        targets = batch[2].numpy()
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
