"""The training loss: cross-entropy of a softmax or of a sigmoid per label, or the squared error."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops
from numpy.typing import NDArray

from gatewise.training.config.training_section import TrainingConfig
from gatewise.training.data.examples import Examples
from gatewise.training.data.value_scale import ValueScale

_WINDOW = 65_536
"""Rows whose labels are counted at a time."""


@dataclass(frozen=True)
class Loss:
    """The loss of a task with labels.

    Attributes:
        labels: Number of labels.
        multi_label: Whether a text may have several labels: a sigmoid each instead of one softmax.
        smoothing: Share of each target that is spread evenly: over the labels, or over yes and no
            in a multi-label task.
        class_weights: The weight of a row by its label, float32 `(labels,)`; in a multi-label
            task the weights of yes (first row) and no for each label, `(2, labels)`; None for 1.
        scale: How the numbers of a regression are standardized; None in other tasks.
    """

    labels: int
    multi_label: bool
    smoothing: float
    class_weights: NDArray[np.float32] | None
    scale: ValueScale | None = None

    @property
    def guess(self) -> float:
        """The loss of an untrained network: all labels equally probable."""
        return math.log(2 if self.multi_label else self.labels)

    @property
    def row_weights(self) -> NDArray[np.float32] | None:
        """The weight of a row by its label; None in a multi-label task."""
        return None if self.multi_label else self.class_weights

    def per_text(self, logits: Any, targets: Any, *, smoothed: bool) -> Any:
        """The loss of each text, in nats; in a multi-label task the mean over the labels.

        Args:
            logits: float32 `(batch, labels)`.
            targets: See `gatewise.training.data.examples.Targets`.
            smoothed: Whether to smooth targets and weight labels, as in training.

        Returns:
            float32 `(batch,)`.
        """
        if len(targets.shape) == 1:
            targets = ops.one_hot(targets, self.labels, dtype="float32")
        smoothing = self.smoothing if smoothed else 0.0
        if not self.multi_label:
            if smoothing:
                targets = targets * (1 - smoothing) + smoothing / self.labels
            return tf.nn.softmax_cross_entropy_with_logits(targets, logits)
        if smoothing:
            targets = targets * (1 - smoothing) + smoothing / 2
        losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)
        if smoothed and self.class_weights is not None:
            yes, no = self.class_weights
            losses = losses * (targets * yes + (1 - targets) * no)
        return ops.mean(losses, axis=1)


@dataclass(frozen=True)
class SquaredError(Loss):
    """The squared error of a regression's standardized numbers: 1 for their mean.

    Of several numbers it is the mean, so that each counts the same, whatever its unit.

    Attributes:
        is_huber: Whether the loss in training is Huber's (1964, "Robust Estimation of a Location
            Parameter"), which grows linearly beyond one standard deviation.
    """

    is_huber: bool = False

    @property
    def guess(self) -> float:
        """The loss of predicting the mean."""
        return 1.0

    def per_text(self, logits: Any, targets: Any, *, smoothed: bool) -> Any:
        """The loss of each text, float32 `(batch,)`.

        Args:
            logits: float32 `(batch, numbers)`.
            targets: The standardized numbers, float32 `(batch, numbers)`.
            smoothed: Whether it is Huber's, if that is what is trained on.
        """
        errors = logits - targets
        losses = ops.square(errors)
        if smoothed and self.is_huber:
            sizes = ops.abs(errors)
            losses = ops.where(sizes <= 1, losses, 2 * sizes - 1)
        return ops.mean(losses, axis=1)


def make_loss(
    config: TrainingConfig,
    examples: Examples,
    labels: int,
    *,
    multi_label: bool,
    scale: ValueScale | None = None,
) -> Loss:
    """The loss for the settings of a run.

    Args:
        config: The training settings.
        examples: The training rows, whose labels are counted for class weights.
        labels: Number of labels, or of numbers.
        multi_label: Whether a text may have several labels.
        scale: In a regression, how the numbers are standardized.
    """
    if scale is not None:
        return SquaredError(labels, False, 0.0, None, scale, is_huber=config.loss == "huber")
    weights = None
    if config.class_weights == "balanced":
        weights = _balanced_weights(examples, labels, multi_label=multi_label)
    return Loss(labels, multi_label, config.label_smoothing, weights)


def _balanced_weights(examples: Examples, labels: int, *, multi_label: bool) -> NDArray[np.float32]:
    """Weights n / (k · n_c) for n rows of k classes, as scikit-learn's `balanced`.

    With soft labels n_c is the sum of the label's probabilities. In a multi-label task yes and no
    are the two classes of every label.
    """
    sums = label_sums(examples, labels)
    count = len(examples)
    if not multi_label:
        return (count / (labels * np.maximum(sums, 1))).astype(np.float32)
    both = np.stack([sums, count - sums])
    return (count / (2 * np.maximum(both, 1))).astype(np.float32)


def label_sums(examples: Examples, labels: int) -> NDArray[np.float64]:
    """The rows of each label, float64 `(labels,)`; with soft labels the sum of its probabilities.

    A row counts as much as it weighs.

    Args:
        examples: The training rows.
        labels: Number of labels.
    """
    sums = np.zeros(labels)
    for start in range(0, len(examples), _WINDOW):
        rows = np.arange(start, min(start + _WINDOW, len(examples)))
        targets, weights = examples.targets(rows), examples.weights(rows)
        if targets.ndim == 1:
            sums += np.bincount(targets, weights, minlength=labels)
        else:
            sums += (targets * weights[:, None]).sum(axis=0, dtype=np.float64)
    return sums
