"""What is chosen on the validation rows once a network is trained: its temperature, its thresholds.

Asks the very classifier that will serve, so what is chosen suits what users get. How each choice
is made is the business of `calibration` and `thresholds`.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from service.classifier import Classifier
from service.scores import apply
from training.evaluation import thresholds
from training.evaluation.calibration import (
    Calibration,
    Reliability,
    negative_log_likelihood,
    temperature,
    told_of,
)
from training.rows.corpora import Rows
from training.rows.examples import Targets
from training.rows.preparation import targets_of
from training.rows.stored_rows import StoredRows
from vocab.corpus import Row

_MOST_LOGITS = 2**24
"""Most logits held in memory: of more validation rows, some evenly among them are looked at."""


def calibration(classifier: Classifier, rows: Rows) -> Calibration:
    """Chooses the temperature of a model whose logits are as its network was trained.

    Args:
        classifier: The model.
        rows: The rows of the run.
    """
    validation = rows.validation
    step = math.ceil(len(validation) * len(rows.labels) / _MOST_LOGITS)
    chosen = np.arange(len(validation)) % step == 0
    logits, truth = [], []
    targets: list[Targets] = []
    for window, answer in _windows(classifier, validation.only(chosen)):
        logits.append(answer)
        targets.append(targets_of(window, rows.labels, multi_label=rows.multi_label))
        truth.append(rows.labels.matrix([row.labels for row in window]))
    return _calibration(
        np.concatenate(logits),
        _joined(targets),
        np.concatenate(truth),
        multi_label=rows.multi_label,
    )


def label_thresholds(classifier: Classifier, rows: Rows) -> tuple[float, ...]:
    """The score from which on each label is given, of a model that may give several."""
    probabilities, truth = [], []
    for window, logits in _windows(classifier, rows.validation):
        probabilities.append(apply("sigmoid", logits))
        truth.append(targets_of(window, rows.labels, multi_label=True) >= 0.5)
    return thresholds.choose(np.concatenate(probabilities), np.concatenate(truth))


def _calibration(
    logits: NDArray[np.float32], targets: Targets, truth: NDArray[np.bool_], *, multi_label: bool
) -> Calibration:
    found = temperature(logits, targets, multi_label=multi_label)
    counted, losses = [], []
    for divided in (logits, (logits / found).astype(np.float32)):
        probabilities = apply("sigmoid" if multi_label else "softmax", divided)
        reliability = Reliability()
        reliability.add(*told_of(probabilities, truth, multi_label=multi_label))
        counted.append(reliability)
        losses.append(negative_log_likelihood(divided, targets, multi_label=multi_label))
    (before, after), (loss_before, loss_after) = counted, losses
    return Calibration(
        temperature=found,
        rows=len(logits),
        log_loss_before=loss_before,
        log_loss=loss_after,
        ece_before=before.error,
        ece=after.error,
        before=before.bins(),
        after=after.bins(),
    )


def _joined(windows: list[Targets]) -> Targets:
    return np.concatenate(windows)  # type: ignore[return-value]  # all of one kind


def _windows(
    classifier: Classifier, rows: StoredRows
) -> Iterator[tuple[list[Row], NDArray[np.float32]]]:
    for window in rows.windows():
        yield window, classifier.logits(classifier.encode([row.text for row in window]))
