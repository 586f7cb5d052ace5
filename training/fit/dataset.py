"""Batches of texts of similar length, in a shuffled and optionally label-balanced order.

The order of an epoch follows from the seed and the epoch's number alone, so that a resumed run has
the same batches.
"""

import math
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gatewise.training.data.examples import Examples, Targets
from gatewise.vocab.tokenizer.encoding import pad

_POOL_BATCHES = 50
"""Size of a pool of shuffled texts that are sorted by length together, in batches."""

_WINDOW = 65_536
"""Rows whose labels are read at a time."""


class Batches:
    """The batches of every epoch.

    Texts are shuffled and divided into pools; each pool is sorted by length and divided into
    batches, which are shuffled. Batches then need little padding and differ in every epoch.

    Args:
        examples: The texts.
        batch_size: Texts of a batch; the last of an epoch may be smaller.
        seed: Seed of the order.
        balanced: Whether an epoch has equally many texts of every label: those of rare labels
            repeated, and a part of those of frequent labels.
    """

    def __init__(
        self, examples: Examples, batch_size: int, seed: int, *, balanced: bool = False
    ) -> None:
        self._examples = examples
        self._batch_size = batch_size
        self._seed = seed
        self._balanced = balanced

    def __len__(self) -> int:
        """Number of batches of an epoch."""
        return math.ceil(len(self._examples) / self._batch_size)

    def epoch(self, number: int, skip: int = 0) -> Iterator[NDArray[np.int64]]:
        """The rows of each batch of an epoch.

        Args:
            number: The epoch.
            skip: Number of batches to skip at the start.

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
        for index, label in enumerate(present.tolist()):
            rows = np.flatnonzero(labels == label)
            share = count // len(present) + (index < count % len(present))
            rounds = np.tile(rows.astype(np.int32), (math.ceil(share / len(rows)), 1))
            drawn.append(generator.permuted(rounds, axis=1).reshape(-1)[:share])
        return generator.permutation(np.concatenate(drawn))

    def _labels(self) -> NDArray[np.int32]:
        """The label of every row; of soft labels the most probable."""
        labels = np.empty(len(self._examples), dtype=np.int32)
        for start in range(0, len(labels), _WINDOW):
            rows = np.arange(start, min(start + _WINDOW, len(labels)))
            targets = self._examples.targets(rows)
            labels[rows] = targets if targets.ndim == 1 else targets.argmax(axis=1)
        return labels


def sequential_batches(examples: Examples, batch_size: int) -> Iterator[NDArray[np.int64]]:
    """Batches of every row once, sorted by length within pools: for validation and counting.

    Yields:
        Row numbers, int64 `(batch,)`.
    """
    for start in range(0, len(examples), batch_size * _POOL_BATCHES):
        rows = np.arange(start, min(start + batch_size * _POOL_BATCHES, len(examples)))
        rows = rows[np.argsort(examples.lengths(rows), kind="stable")]
        for first in range(0, len(rows), batch_size):
            yield rows[first : first + batch_size]


Batch = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]
"""Token ids and attention mask, int32 `(batch, tokens)`, or numbers in place of ids, float32
`(batch, steps, features)`; targets, see
`gatewise.training.data.examples.Targets`; and each row's weight in the loss, float32 `(batch,)`:
one over the batch size, times its own weight and its label's, if rows or labels have weights; less
for a window if its text has many."""


def tensors(
    examples: Examples, rows: Iterable[NDArray[np.int64]], class_weights: NDArray[np.float32] | None
) -> Iterator[Batch]:
    """Batches as TensorFlow tensors; a thread prepares the next one while one is in use.

    `tf.data.Dataset.from_generator` takes three times as long for each.

    Args:
        examples: The texts.
        rows: Row numbers of each batch.
        class_weights: The weight of each label's rows, float32 `(labels,)`; None for 1 each.
    """

    def make_batch(numbers: NDArray[np.int64]) -> Batch:
        batch = pad(examples.ids(numbers))
        targets = examples.targets(numbers)
        weights = _row_weights(targets, class_weights) * examples.weights(numbers) / len(numbers)
        is_ids = batch.inputs.dtype.kind == "i"
        return (
            tf.constant(batch.inputs.astype(np.int32) if is_ids else batch.inputs),
            tf.constant(batch.attention_mask.astype(np.int32)),
            tf.constant(targets),
            tf.constant(weights.astype(np.float32)),
        )

    with ThreadPoolExecutor(max_workers=1) as thread:
        waiting: Future[Batch] | None = None
        for numbers in rows:
            ready, waiting = waiting, thread.submit(make_batch, numbers)
            if ready:
                yield ready.result()
        if waiting:
            yield waiting.result()


def _row_weights(
    targets: Targets, class_weights: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    if class_weights is None:
        return np.ones(len(targets), dtype=np.float32)
    if targets.ndim == 1:
        return class_weights[targets]
    return (targets * class_weights).sum(axis=1)
