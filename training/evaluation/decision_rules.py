"""Temperature and thresholds: how a trained model's logits become labels.

They are chosen on the validation rows by the classifier that serves the model. The choices
themselves are made in `calibration`, `thresholds` and `rejection`.
"""

import math
from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.linear_path import LinearPath
from gatewise.service.model.scores import apply
from gatewise.training.config.reject_section import RejectConfig
from gatewise.training.data.encoded_corpus import EncodedSplit
from gatewise.training.data.examples import Targets
from gatewise.training.evaluation import cascade_choice, thresholds
from gatewise.training.evaluation.calibration import (
    Calibration,
    Reliability,
    negative_log_likelihood,
    predictions_of,
    temperature,
)
from gatewise.training.evaluation.cascade_choice import CascadeChoice
from gatewise.training.evaluation.rejection import Rejection, choose, curve
from gatewise.vocab.corpus.labels import Labels
from gatewise.vocab.tokenizer.encoding import Ragged

_MAX_LOGITS = 2**24
"""Logits held in memory, at most: of more validation rows, an evenly spaced sample is used."""

_WINDOW = 4096


def calibration(classifier: Classifier, validation: EncodedSplit) -> Calibration:
    """Chooses the temperature of a model.

    Args:
        classifier: The model, its logits as the network was trained.
        validation: The validation rows.
    """
    sample = _sample(classifier, validation)
    windows = list(_classified(classifier, sample))
    return _calibration(
        np.concatenate([logits for logits, _ in windows]),
        sample.texts.targets(np.arange(len(sample))),
        np.concatenate([truth for _, truth in windows]),
        multi_label=classifier.multi_label,
    )


def label_thresholds(classifier: Classifier, validation: EncodedSplit) -> tuple[float, ...]:
    """Chooses the score from which on each label of a multi-label model is predicted.

    Args:
        classifier: The model, its temperature already chosen.
        validation: The validation rows.
    """
    probabilities = [apply("sigmoid", logits) for logits, _ in _classified(classifier, validation)]
    targets = validation.texts.targets(np.arange(len(validation)))
    return thresholds.choose(np.concatenate(probabilities), targets >= 0.5)


def rejection(classifier: Classifier, validation: EncodedSplit, config: RejectConfig) -> Rejection:
    """Chooses the probability from which on the best label is predicted.

    Args:
        classifier: The model, its temperature already chosen.
        validation: The validation rows.
        config: The settings of the threshold.
    """
    best, correct = [], []
    for logits, truth in _classified(classifier, validation):
        predictions = predictions_of(apply("softmax", logits), truth, multi_label=False)
        best.append(predictions[0])
        correct.append(predictions[1])
    probabilities, in_scope = np.concatenate(best), validation.in_scope
    found = curve(
        probabilities[in_scope], np.concatenate(correct)[in_scope], probabilities[~in_scope]
    )
    chosen, reached = choose(found, config.target_precision)
    return Rejection(
        label=config.label,
        out_of_scope=config.out_of_scope,
        target_precision=config.target_precision,
        reached=reached,
        chosen=chosen,
        curve=found.thinned(),
    )


def cascade(classifier: Classifier, validation: EncodedSplit) -> CascadeChoice | None:
    """Chooses how sure the linear path must be to classify a text alone.

    Args:
        classifier: The model, its temperature already chosen.
        validation: The validation rows.

    Returns:
        None if the model has no linear path.
    """
    path = LinearPath.of(classifier.artifact)
    if path is None:
        return None
    sample = _sample(classifier, validation)
    linear, network, labelled = [], [], []
    rows = iter(sample)
    while window := list(islice(rows, _WINDOW)):
        linear.append(path.logits(Ragged.of([row.encoded for row in window])))
    for logits, truth in _classified(classifier, sample):
        network.append(apply("softmax", logits))
        labelled.append(truth)
    logits = np.concatenate(linear)
    found = temperature(logits, sample.texts.targets(np.arange(len(sample))))
    return cascade_choice.choose(
        logits,
        np.concatenate(network),
        np.concatenate(labelled),
        found,
        classifier.reject.threshold if classifier.reject else 0,
    )


def _sample(classifier: Classifier, validation: EncodedSplit) -> EncodedSplit:
    """The rows that logits are held in memory of.

    A row out of scope is not among them: no label is correct for it.
    """
    step = math.ceil(len(validation) * len(classifier.classes_) / _MAX_LOGITS)
    sample = validation.only(np.arange(len(validation)) % step == 0)
    return sample.only(sample.in_scope)


def _calibration(
    logits: NDArray[np.float32], targets: Targets, truth: NDArray[np.bool_], *, multi_label: bool
) -> Calibration:
    found = temperature(logits, targets, multi_label=multi_label)
    counted, losses = [], []
    for divided in (logits, (logits / found).astype(np.float32)):
        probabilities = apply("sigmoid" if multi_label else "softmax", divided)
        reliability = Reliability()
        reliability.add(*predictions_of(probabilities, truth, multi_label=multi_label))
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


def _classified(
    classifier: Classifier, split: EncodedSplit
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """The logits of the rows and which labels they have, both `(rows, labels)`, in windows."""
    labels = Labels(tuple(classifier.classes_))
    rows = iter(split)
    while window := list(islice(rows, _WINDOW)):
        logits = classifier.logits([row.encoded for row in window])
        yield logits, labels.matrix([row.row.labels for row in window])
