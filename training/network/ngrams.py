"""The linear path: a TF-IDF model over hashed n-grams of token ids, as Keras layers.

Its logits are added to those of the recurrent path. Texts are often decided by single words and
pairs of words, which a linear model learns from fewer rows than a recurrent one. The features of a
text are its n-grams with binary counts, each scaled by its inverse document frequency, and
normalized to length one (Salton and Buckley 1988, "Term-weighting approaches in automatic text
retrieval"). An n-gram that occurs in no training text has the weight zero.

With many classes an n-gram has a shorter vector than one weight per class; the sum of a text's
vectors is then multiplied by one matrix.

The hash is a few integer operations on `input_ids`, so that
`gatewise.training.onnx_export.keras_to_onnx` can write it in plain ONNX operators.
"""

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gatewise.service.model.linear_path import MIN_NORM, MULTIPLIERS, SCALE
from gatewise.training.network.shape import NgramTable


def inverse_frequencies(frequencies: NDArray[np.int64], texts: int) -> NDArray[np.float64]:
    """The inverse document frequency, `1 + ln((1 + texts) / (1 + frequency))`, of each frequency.

    Args:
        frequencies: Texts that contain each n-gram.
        texts: Number of texts counted.
    """
    return np.asarray(1 + np.log((1 + texts) / (1 + frequencies)), dtype=np.float64)


class NgramRows(keras.layers.Layer):
    """The table rows of a text's distinct n-grams.

    The n-gram of length n at a position is the token there and the n - 1 tokens after it, including
    padding, so that the last tokens of a text differ from the same ones in its middle.

    Inputs: `input_ids` and `attention_mask`, integers, `(batch, tokens)`.
    Output: row numbers, int64 `(batch, lengths x tokens)`, in descending order, with 0 for
    repetitions and padding.

    Args:
        table: Layout of the weights.
    """

    def __init__(self, table: NgramTable, **options: object) -> None:
        super().__init__(**options)
        self.table = table

    def call(self, input_ids: tf.Tensor, attention_mask: tf.Tensor) -> tf.Tensor:
        """See the class."""
        mask = tf.cast(attention_mask, tf.int64)
        by_length = self._rows(tf.cast(input_ids, tf.int64) * mask)
        rows = tf.concat([row * mask for row in by_length], axis=1)
        rows = tf.sort(rows, axis=1, direction="DESCENDING")
        before = tf.pad(rows[:, :-1], [[0, 0], [1, 0]])
        return tf.where(rows == before, tf.zeros_like(rows), rows)

    def _rows(self, input_ids: tf.Tensor) -> list[tf.Tensor]:
        """The table row at each position, one tensor `(batch, tokens)` for each n-gram length."""
        tokens, longest = tf.shape(input_ids)[1], self.table.lengths[-1]
        padded = tf.pad(input_ids, [[0, 0], [0, longest - 1]])
        rows = [input_ids] if 1 in self.table.lengths else []
        total = input_ids * MULTIPLIERS[0]
        for offset in range(1, longest):
            # The hash of an n-gram is that of the shorter one that begins it, plus one term.
            total += padded[:, offset : offset + tokens] * MULTIPLIERS[offset]
            if (length := offset + 1) in self.table.lengths:
                rows.append(total % self.table.buckets + self.table.offset(length))
        return rows


class NgramLogits(keras.layers.Layer):
    """The logits of the linear path: the sum of a text's n-gram weights, each scaled by its IDF.

    Inputs: rows, from `NgramRows`, and optionally extra weights to add to those of each row,
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
        """Creates the weights; the table is zero at first, so the untrained path has no effect."""
        self.weights_table = self.add_weight(
            name="table", shape=(self.table.rows, self.table.width), initializer="zeros"
        )
        if self.table.width != self.classes:
            # Its product with its own transpose is about the identity: the table learns as if it
            # had a weight for every class.
            initializer = keras.initializers.RandomNormal(stddev=self.table.width**-0.5)
            self.kernel = self.add_weight(
                name="kernel", shape=(self.table.width, self.classes), initializer=initializer
            )
        self.idf = self.add_weight(
            name="idf", shape=(self.table.rows,), initializer="ones", trainable=False
        )
        # Not learnt: the classifier beside this path has a bias, to which the export adds this one.
        self.bias = self.add_weight(
            name="bias", shape=(self.classes,), initializer="zeros", trainable=False
        )

    def set_idf(self, frequencies: NDArray[np.int64], texts: int, pieces: slice = slice(0)) -> None:
        """Sets each row's inverse document frequency, `1 + ln((1 + texts) / (1 + frequency))`.

        This is scikit-learn's smoothed IDF, except that an n-gram that occurs in no text has 0.
        A piece of a word has weights that do not come from texts, so it keeps its IDF.

        Args:
            frequencies: Texts that contain the n-gram of each row, `(rows,)`.
            texts: Number of texts counted.
            pieces: The rows of pieces of words.
        """
        counts = frequencies > 0
        counts[pieces] = True
        idf = inverse_frequencies(frequencies, texts)
        self.idf.assign(np.where(counts, idf, 0.0).astype(np.float32))

    def call(self, rows: tf.Tensor, extra_weights: tf.Tensor | None = None) -> tf.Tensor:
        """See the class."""
        idf = tf.gather(self.idf.value, rows) * tf.cast(rows > 0, tf.float32)
        weights = tf.gather(self.weights_table.value, rows)
        if extra_weights is not None:
            weights += extra_weights
        total = tf.reduce_sum(weights * idf[:, :, None], axis=1)
        norm = tf.sqrt(tf.reduce_sum(tf.square(idf), axis=1, keepdims=True))
        total *= SCALE / tf.maximum(norm, MIN_NORM)
        logits = total if self.kernel is None else tf.matmul(total, self.kernel.value)
        return logits + self.bias.value
