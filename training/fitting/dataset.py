"""Examples to batches: an order that is random and balanced, and batches of like length.

Knows no network. The order of an epoch follows from the seed and the epoch's number alone, so a
run that was interrupted finds the same batches again.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.rows.examples import Examples, Targets
from vocab.encoding import pad

_POOL_BATCHES = 50
"""Batches' worth of shuffled texts that are sorted by length together."""


_WINDOW = 65_536


class Batches:
    """The batches of every epoch.

    Texts are shuffled, cut into pools, sorted by length within each pool and cut into batches,
    and the batches of a pool are shuffled: little is spent on padding, and which texts meet in a
    batch still changes from epoch to epoch.

    Args:
        examples: The texts.
        batch_size: Texts of one batch; the last of an epoch may hold fewer.
        seed: Seed of the order.
        balanced: Whether an epoch takes as many texts of every label: the rarer labels' texts
            more than once, and of the more frequent labels' a part.
    """

    def __init__(
        self, examples: Examples, batch_size: int, seed: int, *, balanced: bool = False
    ) -> None:
        self._examples = examples
        self._batch_size = batch_size
        self._seed = seed
        self._balanced = balanced

    def __len__(self) -> int:
        """Batches of one epoch."""
        return math.ceil(len(self._examples) / self._batch_size)

    def epoch(self, number: int, skip: int = 0) -> Iterator[NDArray[np.int64]]:
        """The rows of each batch of an epoch.

        Args:
            number: The epoch.
            skip: Batches at the start that are left out.

        Yields:
            Row numbers, int64 `(batch,)`.
        """
        order = self._order(np.random.default_rng((self._seed, number)))
        size = self._batch_size
        for pool, start in enumerate(range(0, len(order), size * _POOL_BATCHES)):
            rows = order[start : start + size * _POOL_BATCHES].astype(np.int64)
            batches = math.ceil(len(rows) / size)
            if skip >= batches:
                skip -= batches
                continue
            rows = rows[np.argsort(self._examples.lengths(rows), kind="stable")]
            shuffled = np.random.default_rng((self._seed, number, pool)).permutation(batches)
            for batch in shuffled[skip:]:
                yield rows[batch * size : (batch + 1) * size]
            skip = 0

    def _order(self, generator: np.random.Generator) -> NDArray[np.int32]:
        count = len(self._examples)
        if not self._balanced:
            return generator.permutation(np.arange(count, dtype=np.int32))
        labels = self._labels()
        present = np.unique(labels)
        drawn = []
        for place, label in enumerate(present.tolist()):
            rows = np.flatnonzero(labels == label)
            share = count // len(present) + (place < count % len(present))
            rounds = np.tile(rows.astype(np.int32), (math.ceil(share / len(rows)), 1))
            drawn.append(generator.permuted(rounds, axis=1).reshape(-1)[:share])
        return generator.permutation(np.concatenate(drawn))

    def _labels(self) -> NDArray[np.int32]:
        """The label of every row, the likeliest where labels are soft."""
        labels = np.empty(len(self._examples), dtype=np.int32)
        for start in range(0, len(labels), _WINDOW):
            rows = np.arange(start, min(start + _WINDOW, len(labels)))
            targets = self._examples.targets(rows)
            labels[rows] = targets if targets.ndim == 1 else targets.argmax(axis=1)
        return labels


def in_order(examples: Examples, batch_size: int) -> Iterator[NDArray[np.int64]]:
    """Every row once, those of like length together: for validation, where order is no matter.

    Yields:
        Row numbers, int64 `(batch,)`.
    """
    for start in range(0, len(examples), batch_size * _POOL_BATCHES):
        rows = np.arange(start, min(start + batch_size * _POOL_BATCHES, len(examples)))
        rows = rows[np.argsort(examples.lengths(rows), kind="stable")]
        for first in range(0, len(rows), batch_size):
            yield rows[first : first + batch_size]


def dataset(
    examples: Examples, rows: Iterator[NDArray[np.int64]], class_weights: NDArray[np.float32] | None
) -> tf.data.Dataset:
    """Batches as a `tf.data` pipeline.

    Elements are `(input_ids, attention_mask, targets, weights)`: int32 `(batch, tokens)` twice,
    the targets of `training.rows.examples.Targets`, and float32 `(batch,)`, what each row counts in
    the loss, the mean over a batch being that of the unweighted loss where there are no weights.

    Args:
        examples: The texts.
        rows: Row numbers of each batch.
        class_weights: What each label's rows count, float32 `(labels,)`; None for 1 each.
    """

    def elements() -> Iterator[tuple[Any, ...]]:
        for numbers in rows:
            batch = pad(examples.ids(numbers))
            targets = examples.targets(numbers)
            weights = _row_weights(targets, class_weights) / len(numbers)
            yield batch.input_ids, batch.attention_mask, targets, weights.astype(np.float32)

    ids = tf.TensorSpec((None, None), tf.int32)
    target = (
        tf.TensorSpec((None, examples.classes), tf.float32)
        if examples.classes
        else tf.TensorSpec((None,), tf.int32)
    )
    signature = (ids, ids, target, tf.TensorSpec((None,), tf.float32))
    return tf.data.Dataset.from_generator(elements, output_signature=signature).prefetch(4)


def _row_weights(
    targets: Targets, class_weights: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    if class_weights is None:
        return np.ones(len(targets), dtype=np.float32)
    if targets.ndim == 1:
        return class_weights[targets]
    return (targets * class_weights).sum(axis=1)
