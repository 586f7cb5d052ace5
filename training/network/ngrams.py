"""The linear path: hashed n-grams of token ids, each with a weight for every class.

Where there are many classes an n-gram has a shorter vector instead, and what the vectors of a text
add up to is multiplied by one matrix: the table would have a row of weights as long as the classes
are many for every n-gram.

Beside the recurrent layers, and added to their logits. Texts are often decided by single words and
pairs of words, which a linear model learns from fewer rows than a recurrent one. The hash is a few
integer operations on `input_ids`, so it lowers to plain ONNX operators.

What counts of an n-gram is whether a text has it, by how few texts do (inverse document frequency),
and a text's n-grams together have the length one, as in TF-IDF with binary counts (Salton and
Buckley 1988, "Term-weighting approaches in automatic text retrieval"). An n-gram that no training
text has counts nothing.

Owns the hash and the Keras layers; `gatewise.training.onnx_export.keras_to_onnx` writes the same
arithmetic in ONNX.
"""

import keras
import numpy as np
import tensorflow as tf
from gatewise.training.network.shape import NgramTable
from numpy.typing import NDArray

SCALE = 10.0
"""What the path's sum is multiplied by: the table starts at zero and would learn too slowly."""

SHORTEST = 1e-6
"""What a text's length is at the least: one without a known n-gram has logits of zero."""

# One odd multiplier for each place in an n-gram. Below 2^30, and ids below 2^20, so the sum of
# eight products stays below 2^53 and is exact also where integers are kept in 64-bit floats.
MULTIPLIERS = (
    805_306_457,
    402_653_189,
    1_000_000_007,
    536_870_923,
    268_435_459,
    939_524_129,
    671_088_667,
    134_217_757,
)


class NgramRows(keras.layers.Layer):
    """The table's rows of the n-grams that a text has, each once.

    The n-gram of length n at a place is the token there and the n - 1 after it, padding included
    at the end, so that the last tokens of a text are told from the same ones in its middle.

    Inputs: `input_ids` and `attention_mask`, integers, `(batch, tokens)`.
    Output: row numbers, int64 `(batch, lengths x tokens)`, the greatest first, with 0 in place of
    every number that stands before it already, and of padding.

    Args:
        table: Layout of the weights.
    """

    def __init__(self, table: NgramTable, **options: object) -> None:
        super().__init__(**options)
        self.table = table

    def call(self, input_ids: tf.Tensor, attention_mask: tf.Tensor) -> tf.Tensor:
        """See the class."""
        mask = tf.cast(attention_mask, tf.int64)
        places = self._places(tf.cast(input_ids, tf.int64) * mask)
        rows = tf.concat([row * mask for row in places], axis=1)
        rows = tf.sort(rows, axis=1, direction="DESCENDING")
        before = tf.pad(rows[:, :-1], [[0, 0], [1, 0]])
        return tf.where(rows == before, tf.zeros_like(rows), rows)

    def _places(self, input_ids: tf.Tensor) -> list[tf.Tensor]:
        """The table's row for each place, one tensor `(batch, tokens)` for each n-gram length."""
        tokens = tf.shape(input_ids)[1]
        rows = []
        for length in self.table.lengths:
            if length == 1:
                rows.append(input_ids)
                continue
            padded = tf.pad(input_ids, [[0, 0], [0, length - 1]])
            total = tf.zeros_like(input_ids)
            for place in range(length):
                total += padded[:, place : place + tokens] * MULTIPLIERS[place]
            rows.append(total % self.table.buckets + self.table.offset(length))
        return rows


class NgramLogits(keras.layers.Layer):
    """Sums the weights of a text's n-grams, each by how much it tells.

    Inputs: rows, from `NgramRows`, and optionally what is added to the weights of each row,
    float32 `(batch, rows, width)`.
    Output: float32 logits, `(batch, classes)`.

    Args:
        table: Layout of the weights.
        classes: Number of classes.
    """

    def __init__(self, table: NgramTable, classes: int, **options: object) -> None:
        super().__init__(**options)
        self.table = table
        self.classes = classes
        self.kernel: keras.Variable | None = None

    def build(self, *_: object) -> None:
        """Makes the table, zero at the start: the path says nothing until it has learnt."""
        self.weights_table = self.add_weight(
            name="table", shape=(self.table.rows, self.table.width), initializer="zeros"
        )
        if self.table.width != self.classes:
            # Its product with its own transpose is about the identity: the table learns as if it
            # had a weight for every class.
            deviation = keras.initializers.RandomNormal(stddev=self.table.width**-0.5)
            self.kernel = self.add_weight(
                name="kernel", shape=(self.table.width, self.classes), initializer=deviation
            )
        self.idf = self.add_weight(
            name="idf", shape=(self.table.rows,), initializer="ones", trainable=False
        )

    def set_idf(self, frequencies: NDArray[np.int64], texts: int) -> None:
        """Sets each row's inverse document frequency, `1 + ln((1 + texts) / (1 + frequency))`.

        This is scikit-learn's smoothed IDF, except that an n-gram that occurs in no text has 0.

        Args:
            frequencies: Texts that contain the n-gram of each row, `(rows,)`.
            texts: Number of texts counted.
        """
        idf = 1 + np.log((1 + texts) / (1 + frequencies))
        self.idf.assign(np.where(frequencies > 0, idf, 0.0).astype(np.float32))

    def call(self, rows: tf.Tensor, added: tf.Tensor | None = None) -> tf.Tensor:
        """See the class."""
        idf = tf.gather(self.idf.value, rows) * tf.cast(rows > 0, tf.float32)
        weights = tf.gather(self.weights_table.value, rows)
        if added is not None:
            weights += added
        total = tf.reduce_sum(weights * idf[:, :, None], axis=1)
        length = tf.sqrt(tf.reduce_sum(tf.square(idf), axis=1, keepdims=True))
        total *= SCALE / tf.maximum(length, SHORTEST)
        return total if self.kernel is None else tf.matmul(total, self.kernel.value)
