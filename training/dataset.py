"""Rows to batches: encoded texts, label ids, and batches of like length.

Knows no network. Everything random comes from a seed, so the same rows give the same batches.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from vocab.encoding import pad

_POOL_BATCHES = 50
"""Batches' worth of shuffled texts that are sorted by length together."""


@dataclass(frozen=True)
class Examples:
    """Encoded texts with their label ids.

    Attributes:
        ids: Token ids of each text, int64, `(tokens,)`.
        labels: Label id of each text, int32, `(texts,)`.
    """

    ids: Sequence[NDArray[np.int64]]
    labels: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.ids)


def batches(
    examples: Examples, batch_size: int, generator: np.random.Generator
) -> Iterator[list[int]]:
    """Rows of like length together, in an order that is random and balanced.

    Texts are shuffled, cut into pools, sorted by length within each pool and cut into batches,
    and the batches of all pools are shuffled: little is spent on padding, and which texts meet
    in a batch still changes from epoch to epoch.

    Yields:
        Row numbers of one batch.
    """
    order = generator.permutation(len(examples))
    lengths = np.fromiter(map(len, examples.ids), dtype=np.int64, count=len(examples))
    cut: list[list[int]] = []
    for start in range(0, len(order), batch_size * _POOL_BATCHES):
        pool = order[start : start + batch_size * _POOL_BATCHES]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        cut.extend(
            pool[first : first + batch_size].tolist() for first in range(0, len(pool), batch_size)
        )
    for index in generator.permutation(len(cut)):
        yield cut[index]


def dataset(examples: Examples, batch_size: int, seed: int | None) -> tf.data.Dataset:
    """Batches of one epoch after another, as a `tf.data` pipeline.

    Elements are `({"input_ids", "attention_mask"}, labels)`: int32 `(batch, tokens)` twice and
    int32 `(batch,)`. Each iteration of the dataset is one epoch.

    Args:
        examples: The texts.
        batch_size: Texts of one batch; the last may hold fewer.
        seed: Seed of the order, which differs from epoch to epoch; None keeps one fixed order.
    """
    generator = np.random.default_rng(seed)

    def epoch() -> Iterator[tuple[dict[str, NDArray[np.int64]], NDArray[np.int32]]]:
        order = generator if seed is not None else np.random.default_rng(0)
        for rows in batches(examples, batch_size, order):
            batch = pad([examples.ids[row] for row in rows])
            inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
            yield inputs, examples.labels[rows]

    ids = tf.TensorSpec((None, None), tf.int32)
    batch_count = math.ceil(len(examples) / batch_size)
    pipeline = tf.data.Dataset.from_generator(
        epoch,
        output_signature=(
            {"input_ids": ids, "attention_mask": ids},
            tf.TensorSpec((None,), tf.int32),
        ),
    )
    # Told how many batches there are, Keras does not take the end of an epoch for a lack of data.
    return pipeline.apply(tf.data.experimental.assert_cardinality(batch_count)).prefetch(4)
