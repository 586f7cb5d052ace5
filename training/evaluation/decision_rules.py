"""Temperature and thresholds: how a trained model's logits become labels.

They are chosen on the validation rows, which the model classifies once. The choices themselves are
made in `calibration`, `thresholds`, `rejection` and `cascade_choice`.
"""

import math
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Classified:
    """The validation rows as a model classifies them: evenly spaced ones of too many.

    Attributes:
        rows: The rows.
        logits: Their logits, `(rows, labels)`.
        truth: Which labels they have, `(rows, labels)`.
    """

    rows: EncodedSplit
    logits: NDArray[np.float32]
    truth: NDArray[np.bool_]

    @property
    def in_scope(self) -> "Classified":
        """Without the rows out of scope, for which no label is correct."""
        kept = self.rows.in_scope
        return Classified(self.rows.only(kept), self.logits[kept], self.truth[kept])

    @property
    def targets(self) -> Targets:
        """What the rows are trained on."""
        return self.rows.texts.targets(np.arange(len(self.rows)))

    def divided_by(self, temperature: float) -> "Classified":
        """The same rows, with every logit divided by a temperature."""
        return replace(self, logits=(self.logits / temperature).astype(np.float32))


def classify(classifier: Classifier, validation: EncodedSplit) -> Classified:
    """Runs a model on the validation rows, once for all that is chosen by them."""
    labels = Labels(tuple(classifier.classes_))
    step = math.ceil(len(validation) * len(labels) / _MAX_LOGITS)
    sample = validation.only(np.arange(len(validation)) % step == 0)
    logits, truth = [], []
    rows = iter(sample)
    while window := list(islice(rows, _WINDOW)):
        logits.append(classifier.logits([row.encoded for row in window]))
        truth.append(labels.matrix([row.row.labels for row in window]))
    return Classified(sample, np.concatenate(logits), np.concatenate(truth))


def calibration(classified: Classified, *, multi_label: bool) -> Calibration:
    """Chooses the temperature of a model.

    Args:
        classified: The validation rows, the logits as the network was trained.
        multi_label: Whether a text may have several labels.
    """
    in_scope = classified.in_scope
    targets = in_scope.targets
    found = temperature(in_scope.logits, targets, multi_label=multi_label)
    counted, losses = [], []
    for each in (in_scope, in_scope.divided_by(found)):
        probabilities = apply("sigmoid" if multi_label else "softmax", each.logits)
        reliability = Reliability()
        reliability.add(*predictions_of(probabilities, each.truth, multi_label=multi_label))
        counted.append(reliability)
        losses.append(negative_log_likelihood(each.logits, targets, multi_label=multi_label))
    (before, after), (loss_before, loss_after) = counted, losses
    return Calibration(
        temperature=found,
        rows=len(in_scope.rows),
        log_loss_before=loss_before,
        log_loss=loss_after,
        ece_before=before.error,
        ece=after.error,
        before=before.bins(),
        after=after.bins(),
    )


def label_thresholds(classified: Classified) -> tuple[float, ...]:
    """Chooses the score from which on each label of a multi-label model is predicted.

    Args:
        classified: The validation rows, the temperature already chosen.
    """
    return thresholds.choose(apply("sigmoid", classified.logits), classified.truth)


def rejection(classified: Classified, config: RejectConfig) -> Rejection:
    """Chooses the probability from which on the best label is predicted.

    Args:
        classified: The validation rows, the temperature already chosen.
        config: The settings of the threshold.
    """
    probabilities, correct = predictions_of(
        apply("softmax", classified.logits), classified.truth, multi_label=False
    )
    in_scope = classified.rows.in_scope
    found = curve(probabilities[in_scope], correct[in_scope], probabilities[~in_scope])
    chosen, reached = choose(found, config.target_precision)
    return Rejection(
        label=config.label,
        out_of_scope=config.out_of_scope,
        target_precision=config.target_precision,
        reached=reached,
        chosen=chosen,
        curve=found.thinned(),
    )


def cascade(classifier: Classifier, classified: Classified) -> CascadeChoice | None:
    """Chooses how sure the linear path must be to classify a text alone.

    Args:
        classifier: The model, its temperature already chosen.
        classified: The validation rows, likewise.

    Returns:
        None if the model has no linear path.
    """
    path = LinearPath.of(classifier.artifact)
    if path is None:
        return None
    in_scope = classified.in_scope
    linear = []
    rows = iter(in_scope.rows)
    while window := list(islice(rows, _WINDOW)):
        linear.append(path.logits(Ragged.of([row.encoded for row in window])))
    logits = np.concatenate(linear)
    return cascade_choice.choose(
        logits,
        apply("softmax", in_scope.logits),
        in_scope.truth,
        temperature(logits, in_scope.targets),
        classifier.reject.threshold if classifier.reject else 0,
    )
