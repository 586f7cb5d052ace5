"""What a token's spelling gives it: the sum of the vectors of its stretches of characters.

Trained beside the vectors that tokens have of their own, and added to those when a network is
exported. Knows numbers of stretches and no characters.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from gatewise.training.network.char_ngrams import CharNgrams
from numpy.typing import NDArray

_WINDOW = 65_536


class CharNgramEmbedding(keras.layers.Layer):
    """A vector for each token, from its spelling: a sum, divided by the root of its terms' number.

    Input: token ids, integers `(batch, tokens)`. Output: float32 `(batch, tokens, width)`.

    Args:
        spelling: The stretches of every token.
        width: Numbers of a vector.
        first_values: Keras's name of how the vectors begin.
    """

    def __init__(self, spelling: CharNgrams, width: int, first_values: str, **options: Any) -> None:
        super().__init__(**options)
        self.stretches = spelling.stretches
        self.count = spelling.count
        self.width = width
        self.first_values = first_values
        self._rows = tf.constant(spelling.stretches)

    def build(self, *_: object) -> None:
        """Makes the vectors of the stretches; that of number 0 is never counted."""
        self.vectors = self.add_weight(
            name="vectors", shape=(self.count, self.width), initializer=self.first_values
        )

    def call(self, input_ids: Any) -> Any:
        """See the class."""
        # Each token of a batch once: many stand in it often.
        tokens, places = tf.unique(tf.reshape(input_ids, [-1]))
        spelled = self._sums(tf.gather(self._rows, tokens), self.vectors.value)
        shape = tf.concat([tf.shape(input_ids), [self.width]], axis=0)
        return tf.reshape(tf.gather(spelled, places), shape)

    def of_all(self) -> NDArray[np.float32]:
        """The vector of every token, float32 `(vocab, width)`."""
        parts = [
            self._sums(tf.constant(self.stretches[start : start + _WINDOW]), self.vectors.value)
            for start in range(0, len(self.stretches), _WINDOW)
        ]
        everything: NDArray[np.float32] = np.concatenate([part.numpy() for part in parts])
        return everything

    @staticmethod
    def _sums(rows: Any, vectors: Any) -> Any:
        counted = tf.cast(rows > 0, tf.float32)
        terms = tf.gather(vectors, rows) * counted[:, :, None]
        number = tf.reduce_sum(counted, axis=1, keepdims=True)
        return tf.reduce_sum(terms, axis=1) / tf.sqrt(tf.maximum(number, 1.0))
