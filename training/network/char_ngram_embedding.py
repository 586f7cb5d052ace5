"""The embedding of tokens by their character n-grams: a trained Keras layer.

Its vectors are added to those that tokens have of their own; the export merges the two.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gatewise.training.network.char_ngrams import CharNgrams

_WINDOW = 65_536
"""Tokens whose vectors `vocabulary_vectors` computes at a time."""


class CharNgramEmbedding(keras.layers.Layer):
    """A vector for each token: the sum of its n-grams' vectors over the root of their number.

    Input: token ids, integers `(batch, tokens)`. Output: float32 `(batch, tokens, width)`.

    Args:
        char_ngrams: The character n-grams of every token.
        width: Length of a vector.
        initializer: Keras's name of the initializer of the vectors.
    """

    def __init__(
        self, char_ngrams: CharNgrams, width: int, initializer: str, **options: Any
    ) -> None:
        super().__init__(**options)
        self.char_ngrams = char_ngrams
        self.width = width
        self.initializer = initializer
        self._rows = tf.constant(char_ngrams.rows)

    def build(self, *_: object) -> None:
        """Creates the vectors of the character n-grams; number 0 is padding."""
        self.vectors = self.add_weight(
            name="vectors", shape=(self.char_ngrams.count, self.width), initializer=self.initializer
        )

    def call(self, input_ids: Any) -> Any:
        """See the class."""
        # Each distinct token of a batch once: many occur often.
        tokens, positions = tf.unique(tf.reshape(input_ids, [-1]))
        vectors = self._sums(tf.gather(self._rows, tokens), self.vectors.value)
        shape = tf.concat([tf.shape(input_ids), [self.width]], axis=0)
        return tf.reshape(tf.gather(vectors, positions), shape)

    def vocabulary_vectors(self) -> NDArray[np.float32]:
        """The vector of every token, float32 `(vocab, width)`."""
        rows = self.char_ngrams.rows
        parts = [
            self._sums(tf.constant(rows[start : start + _WINDOW]), self.vectors.value)
            for start in range(0, len(rows), _WINDOW)
        ]
        vectors: NDArray[np.float32] = np.concatenate([part.numpy() for part in parts])
        return vectors

    @staticmethod
    def _sums(rows: Any, vectors: Any) -> Any:
        counted = tf.cast(rows > 0, tf.float32)
        terms = tf.gather(vectors, rows) * counted[:, :, None]
        number = tf.reduce_sum(counted, axis=1, keepdims=True)
        return tf.reduce_sum(terms, axis=1) / tf.sqrt(tf.maximum(number, 1.0))
