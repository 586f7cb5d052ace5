"""The loss and metric of a network in training on the validation rows, and its path weights.

The metrics of the finished model are in `gatewise.training.evaluation.evaluate`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import accuracy_score, f1_score

from gatewise.service.model.window_pooling import pool_windows
from gatewise.training.config.training_section import Metric
from gatewise.training.data.examples import Examples, Windows
from gatewise.training.data.value_scale import ValueScale
from gatewise.training.evaluation.calibration import negative_log_likelihood, temperature
from gatewise.training.evaluation.thresholds import choose
from gatewise.training.fit.dataset import sequential_batches, tensors
from gatewise.training.fit.path_weights import Prior, fit_path_weights
from gatewise.training.fit.train_step import Trainer

_BATCH = 256


@dataclass(frozen=True)
class ValidationScore:
    """The result of a validation.

    Attributes:
        loss: Mean cross-entropy, in nats; in a regression the mean squared error of the
            standardized numbers.
        metric: The value of the validation metric. The metric `loss` is the mean cross-entropy of
            the logits divided by the temperature that fits these rows, as in the finished model;
            `rmse` is in the units of the number; of several numbers it is the root of the mean
            over them, in standard deviations of each.
    """

    loss: float
    metric: float


_BatchLogits = tuple[list[NDArray[np.float32]], Any]
"""The logits of each path and the targets of a batch."""

_MAX_LOGITS = 2**20
"""Maximum logits of a path by which its weight is fitted: of more rows, the first are used."""


def validate(
    trainer: Trainer,
    examples: Examples,
    metric: Metric,
    *,
    multi_label: bool,
    scale: ValueScale | None = None,
    prior: Prior | None = None,
) -> ValidationScore:
    """Classifies the validation rows with the weights as they are.

    Paths with separate losses are summed with the weights that are best for these rows, as in the
    exported network. In a multi-label task the metrics use the best thresholds for these rows.

    Args:
        trainer: The network.
        examples: The validation rows.
        metric: The validation metric.
        multi_label: Whether a text may have several labels.
        scale: In a regression, how the numbers are standardized.
        prior: The prior of the weights of the paths.
    """
    mean_loss = _mean_loss(multi_label=multi_label, scale=scale)
    stream = _logits(trainer, examples)
    sample = _sample(stream) if trainer.separate_losses else []
    factors = _factors(trainer, sample, prior, mean_loss)
    total = 0.0
    classified, truth = [], []
    for by_path, targets in chain(sample, stream):
        logits = sum(factor * path for factor, path in zip(factors, by_path, strict=True))
        logits = np.asarray(logits, dtype=np.float32)
        total += mean_loss(logits, targets) * len(logits)
        if metric == "loss" or scale is not None:
            classified.append(logits)
            truth.append(targets)
        elif multi_label:
            classified.append(expit(logits))
            truth.append(targets >= 0.5)
        else:
            classified.append(logits.argmax(axis=1))
            truth.append(targets if targets.ndim == 1 else targets.argmax(axis=1))
    loss = total / sum(map(len, truth))
    if not np.isfinite(loss):
        return ValidationScore(loss, loss)
    if scale is not None:
        return ValidationScore(loss, loss if metric == "loss" else loss**0.5 * scale.rmse_unit)
    predictions, expected = np.concatenate(classified), np.concatenate(truth)
    if metric == "loss":
        divided = predictions / temperature(predictions, expected, multi_label=multi_label)
        calibrated = negative_log_likelihood(divided, expected, multi_label=multi_label)
        return ValidationScore(loss, calibrated)
    if multi_label:
        predictions = predictions >= np.array(choose(predictions, expected), predictions.dtype)
    if metric == "accuracy":
        return ValidationScore(loss, float(accuracy_score(expected, predictions)))
    average = "macro" if metric == "macro_f1" else "micro"
    # As in the report, the mean is over the labels that occur.
    occurring = None if multi_label or average == "micro" else np.unique(expected)
    f1 = f1_score(expected, predictions, labels=occurring, average=average, zero_division=0)
    return ValidationScore(loss, float(f1))


def balance_paths(
    trainer: Trainer,
    examples: Examples,
    *,
    multi_label: bool,
    scale: ValueScale | None = None,
    prior: Prior | None = None,
) -> tuple[float, ...]:
    """The factor of each path's logits; see `gatewise.training.fit.path_weights`.

    Args:
        trainer: The network.
        examples: The validation rows.
        multi_label: Whether a text may have several labels.
        scale: In a regression, how the numbers are standardized.
        prior: The prior of the weights of the paths.

    Returns:
        A factor for each path; 1 for each if they have one loss on their sum.
    """
    sample = _sample(_logits(trainer, examples)) if trainer.separate_losses else []
    return _factors(trainer, sample, prior, _mean_loss(multi_label=multi_label, scale=scale))


_MeanLoss = Callable[[NDArray[Any], Any], float]
"""Maps logits and targets to the mean loss of the rows."""


def _mean_loss(*, multi_label: bool, scale: ValueScale | None) -> _MeanLoss:
    if scale is not None:
        return lambda logits, targets: float(np.square(logits - targets, dtype=np.float64).mean())
    return partial(negative_log_likelihood, multi_label=multi_label)


def _factors(
    trainer: Trainer, sample: list[_BatchLogits], prior: Prior | None, mean_loss: _MeanLoss
) -> tuple[float, ...]:
    if not trainer.separate_losses:
        return (1.0,) * trainer.path_count
    paths = [np.concatenate(path) for path in zip(*(by_path for by_path, _ in sample), strict=True)]
    if not all(np.isfinite(path).all() for path in paths):
        return (1.0,) * trainer.path_count
    targets = np.concatenate([truth for _, truth in sample])
    return fit_path_weights(paths, lambda logits: mean_loss(logits, targets), prior)


def _sample(stream: Iterator[_BatchLogits]) -> list[_BatchLogits]:
    """The first batches of a stream, up to `_MAX_LOGITS` logits."""
    sample: list[_BatchLogits] = []
    logits = 0
    for by_path, targets in stream:
        sample.append((by_path, targets))
        logits += by_path[0].size
        if logits >= _MAX_LOGITS:
            break
    return sample


def _logits(trainer: Trainer, examples: Examples) -> Iterator[_BatchLogits]:
    """The logits and targets of each batch of texts; those of windows are pooled."""
    if isinstance(examples, Windows):
        yield from _pooled_logits(trainer, examples)
        return
    for batch in tensors(examples, sequential_batches(examples, _BATCH), None):
        yield trainer.path_logits(batch), batch[2].numpy()


def _pooled_logits(trainer: Trainer, windows: Windows) -> Iterator[_BatchLogits]:
    texts, most = windows.texts, int(windows.counts.max())
    groups = list(sequential_batches(texts, max(1, _BATCH // most)))
    batches = tensors(windows, map(windows.windows_of, groups), None)
    for group, batch in zip(groups, batches, strict=True):
        paths = trainer.path_logits(batch)
        counts = windows.counts[group]
        yield [pool_windows(path, counts) for path in paths], texts.targets(group)
