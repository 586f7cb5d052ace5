"""Examples to batches: an order that is random and balanced, and batches of like length.

Knows no network. The order of an epoch follows from the seed and the epoch's number alone, so a
run that was interrupted finds the same batches again.
"""

import math
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import tensorflow as tf
from gatewise.training.data.examples import Examples, Targets
from gatewise.vocab.tokenizer.encoding import pad
from numpy.typing import NDArray

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


Batch = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]
"""Token ids and the attention mask, int32 `(batch, tokens)` each; the targets, as
`gatewise.training.data.examples.Targets` has them; and what each row counts in the loss, float32
`(batch,)`: a share of one, and times its label's weight where labels have weights."""


def tensors(
    examples: Examples, rows: Iterable[NDArray[np.int64]], class_weights: NDArray[np.float32] | None
) -> Iterator[Batch]:
    """Batches as TensorFlow takes them, the next one made ready while one is being used.

    One thread makes them. `tf.data.Dataset.from_generator` spends three times as long on each.

    Args:
        examples: The texts.
        rows: Row numbers of each batch.
        class_weights: What each label's rows count, float32 `(labels,)`; None for 1 each.
    """

    def made(numbers: NDArray[np.int64]) -> Batch:
        batch = pad(examples.ids(numbers))
        targets = examples.targets(numbers)
        weights = _row_weights(targets, class_weights) / len(numbers)
        return (
            tf.constant(batch.input_ids.astype(np.int32)),
            tf.constant(batch.attention_mask.astype(np.int32)),
            tf.constant(targets),
            tf.constant(weights.astype(np.float32)),
        )

    with ThreadPoolExecutor(max_workers=1) as thread:
        waiting: Future[Batch] | None = None
        for numbers in rows:
            ready, waiting = waiting, thread.submit(made, numbers)
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
