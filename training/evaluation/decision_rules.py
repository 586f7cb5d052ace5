"""What is chosen on the validation rows once a network is trained: temperature and thresholds.

Asks the very classifier that will serve, so what is chosen suits what users get. How each choice
is made is the business of `calibration`, `thresholds` and `rejection`.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.scores import apply
from gatewise.training.config.reject_section import RejectConfig
from gatewise.training.data.corpora import Rows
from gatewise.training.data.examples import Targets
from gatewise.training.data.preparation import targets_of
from gatewise.training.data.stored_rows import StoredRows
from gatewise.training.evaluation import thresholds
from gatewise.training.evaluation.calibration import (
    Calibration,
    Reliability,
    negative_log_likelihood,
    temperature,
    told_of,
)
from gatewise.training.evaluation.rejection import Rejection, choose, curve
from gatewise.vocab.corpus.corpus_reader import Row
from numpy.typing import NDArray

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
    for every, answers in _windows(classifier, validation.only(chosen)):
        # A row out of scope has no right label for a probability to be true of.
        inside = _in_scope(every, rows)
        window = [row for row, one in zip(every, inside, strict=True) if one]
        logits.append(answers[inside])
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


def rejection(classifier: Classifier, rows: Rows, config: RejectConfig) -> Rejection:
    """The probability from which on a text is given its best label.

    Args:
        classifier: The model.
        rows: The rows of the run.
        config: What is wanted.
    """
    best, right, outside = [], [], []
    for window, logits in _windows(classifier, rows.validation):
        inside = _in_scope(window, rows)
        probabilities = apply("softmax", logits)
        truth = rows.labels.matrix([row.labels for row in window])
        told, true = told_of(probabilities, truth, multi_label=False)
        best.append(told[inside])
        right.append(true[inside])
        outside.append(told[~inside])
    found = curve(np.concatenate(best), np.concatenate(right), np.concatenate(outside))
    chosen, reached = choose(found, config.target_precision)
    return Rejection(
        label=config.label,
        out_of_scope=config.out_of_scope,
        target_precision=config.target_precision,
        reached=reached,
        chosen=chosen,
        curve=found.thinned(),
    )


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


def _in_scope(window: Sequence[Row], rows: Rows) -> NDArray[np.bool_]:
    return np.array([rows.multi_label or bool(row.labels) for row in window])


def _joined(windows: list[Targets]) -> Targets:
    return np.concatenate(windows)  # type: ignore[return-value]  # all of one kind


def _windows(
    classifier: Classifier, rows: StoredRows
) -> Iterator[tuple[list[Row], NDArray[np.float32]]]:
    for window in rows.windows():
        yield window, classifier.logits(classifier.encode([row.text for row in window]))
