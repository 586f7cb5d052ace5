"""What is minimized: cross-entropy against labels, against several labels, or against soft ones.

Knows logits and targets; neither networks nor optimizers.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from gatewise.training.config.training_section import TrainingConfig
from gatewise.training.data.examples import Examples
from keras import ops
from numpy.typing import NDArray

_WINDOW = 65_536


@dataclass(frozen=True)
class Objective:
    """The loss of a task.

    Attributes:
        labels: Number of labels.
        multi_label: Whether a text may have several: a sigmoid each, and not one softmax.
        smoothing: Share of each target that is spread evenly: over the labels, or over yes and no
            where a text may have several.
        class_weights: What a row counts by its label, float32 `(labels,)`, or in a multi-label
            task what yes (first row) and no count for each label, `(2, labels)`; None for 1 each.
    """

    labels: int
    multi_label: bool
    smoothing: float
    class_weights: NDArray[np.float32] | None

    @property
    def row_weights(self) -> NDArray[np.float32] | None:
        """What a row counts by its label, where rows are weighted as a whole."""
        return None if self.multi_label else self.class_weights

    def losses(self, logits: Any, targets: Any, *, smoothed: bool) -> Any:
        """The loss of each text, in nats; over several labels, their mean.

        Args:
            logits: float32 `(batch, labels)`.
            targets: See `gatewise.training.data.examples.Targets`.
            smoothed: Whether targets are smoothed and labels weighted, as they are in training.

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


def objective(
    config: TrainingConfig, examples: Examples, labels: int, *, multi_label: bool
) -> Objective:
    """The objective that a config asks for.

    Args:
        config: How to train.
        examples: The training rows, whose labels are counted for class weights.
        labels: Number of labels.
        multi_label: Whether a text may have several.
    """
    weights = None
    if config.class_weights == "balanced":
        weights = _balanced(examples, labels, multi_label=multi_label)
    return Objective(labels, multi_label, config.label_smoothing, weights)


def _balanced(examples: Examples, labels: int, *, multi_label: bool) -> NDArray[np.float32]:
    """Weights n / (k · n_c), scikit-learn's `balanced`, where k classes share n rows.

    With soft labels n_c is the sum of the label's shares. In a multi-label task yes and no are
    the two classes of every label.
    """
    sums = np.zeros(labels)
    for start in range(0, len(examples), _WINDOW):
        rows = np.arange(start, min(start + _WINDOW, len(examples)))
        targets = examples.targets(rows)
        if targets.ndim == 1:
            sums += np.bincount(targets, minlength=labels)
        else:
            sums += targets.sum(axis=0, dtype=np.float64)
    count = len(examples)
    if not multi_label:
        return (count / (labels * np.maximum(sums, 1))).astype(np.float32)
    both = np.stack([sums, count - sums])
    return (count / (2 * np.maximum(both, 1))).astype(np.float32)
