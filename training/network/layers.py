"""Keras layers before and after the recurrent ones: dropout of tokens, pooling, the output layer.

The dropout layers do nothing outside training, so the ONNX export leaves them out.
"""

from typing import Any

import keras
from keras import ops

from gatewise.training.config.network_section import Readout
from gatewise.training.data.feature_scale import FeatureScale
from gatewise.vocab.tokenizer.tokenizer import CLS_ID, UNKNOWN_ID

_MAX_TEXT_DRAWS = 4096
"""Random draws for each text in the dropout of a one-hot input; larger vocabularies share them."""


class Standardization(keras.layers.Layer):
    """Standardizes the numbers of sequences; a missing one becomes zero, the mean of its feature.

    It has no weights. Input and output: float32 `(batch, steps, features)`, NaN where missing.
    """

    def __init__(self, scale: FeatureScale, **options: object) -> None:
        super().__init__(**options)
        self.scale = scale

    def call(self, numbers: Any) -> Any:
        """See the class."""
        standardized = (numbers - self.scale.mean) / self.scale.deviation
        return ops.where(ops.isnan(numbers), 0.0, standardized)


class WordDropout(keras.layers.Layer):
    """Replaces a share `rate` of the tokens by the unknown token during training.

    The network learns not to rely on any single word, and how to treat unknown ones. [CLS] and
    padding are never replaced.
    """

    def __init__(self, rate: float, seed: int, **options: object) -> None:
        super().__init__(**options)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, input_ids: Any, training: bool = False) -> Any:
        """Maps `input_ids`, int32 `(batch, tokens)`, to the same shape."""
        if not training or self.rate == 0:
            return input_ids
        chance = keras.random.uniform(ops.shape(input_ids), seed=self.seed_generator)
        replaced = ops.logical_and(chance < self.rate, input_ids > CLS_ID)
        return ops.where(replaced, UNKNOWN_ID, input_ids)


class EmbeddingDropout(keras.layers.Layer):
    """Dropout factors of each token's vector during training: zero, or above one to keep the mean.

    `batch_rate` is the share of the vocabulary dropped in a whole batch, `text_rate` that dropped
    in each text: the variational dropout of a one-hot input.
    """

    def __init__(
        self, vocab_size: int, batch_rate: float, text_rate: float, seed: int, **options: object
    ) -> None:
        super().__init__(**options)
        self.vocab_size = vocab_size
        self.batch_rate = batch_rate
        self.text_rate = text_rate
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, input_ids: Any, training: bool = False) -> Any:
        """Maps `input_ids`, integers `(batch, tokens)`, to float32 `(batch, tokens, 1)`."""
        factors = ops.ones(ops.shape(input_ids), dtype="float32")
        if training and self.batch_rate:
            factors *= ops.take(self._factors((self.vocab_size,), self.batch_rate), input_ids)
        if training and self.text_rate:
            draws = min(self.vocab_size, _MAX_TEXT_DRAWS)
            by_token = self._factors((ops.shape(input_ids)[0], draws), self.text_rate)
            factors *= ops.take_along_axis(by_token, input_ids % draws, axis=1)
        return ops.expand_dims(factors, -1)

    def _factors(self, shape: tuple[Any, ...], rate: float) -> Any:
        return keras.random.dropout(ops.ones(shape), rate, seed=self.seed_generator)


class MaskedPooling(keras.layers.Layer):
    """The maximum, the mean, or both, over the steps that are not padding.

    Inputs: states, float32 `(batch, tokens, features)`, and `attention_mask`, `(batch, tokens)`.
    Output: float32 `(batch, features)`, or twice the features for `max_mean`, the maximum first.
    """

    def __init__(self, readout: Readout, **options: object) -> None:
        super().__init__(**options)
        self.supports_masking = True
        self.readout = readout

    def compute_mask(self, *_: Any, **__: Any) -> None:
        """The output has no steps, so there is no mask to pass on."""

    def call(self, states: Any, attention_mask: Any) -> Any:
        """See the class."""
        mask = ops.expand_dims(ops.cast(attention_mask, "float32"), -1)
        parts = []
        if self.readout in ("max", "max_mean"):
            # States lie in [-1, 1], so a padded step at -2 is never the maximum.
            parts.append(ops.max(states * mask - 2.0 * (1.0 - mask), axis=1))
        if self.readout in ("mean", "max_mean"):
            length = ops.maximum(ops.sum(mask, axis=1), 1.0)
            parts.append(ops.sum(states * mask, axis=1) / length)
        return ops.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]


class AttentionPooling(keras.layers.Layer):
    """The mean of the states that are not padding, weighted by a learned attention.

    A state's score is `v · tanh(W h + b)`, and the weights are the softmax of the scores over the
    text (Bahdanau et al. 2015; a learned `v` in place of a query as in Yang et al. 2016); `units`
    is the width of the hidden layer that scores a state.

    Inputs: states, float32 `(batch, tokens, features)`, and `attention_mask`, `(batch, tokens)`.
    Output: float32 `(batch, features)`.
    """

    def __init__(self, units: int, **options: object) -> None:
        super().__init__(**options)
        self.units = units

    def build(self, states_shape: tuple[int | None, ...], **_: object) -> None:
        """Creates W, b and v."""
        self.kernel = self.add_weight(
            name="kernel", shape=(states_shape[-1], self.units), initializer="glorot_uniform"
        )
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")
        self.context = self.add_weight(
            name="context", shape=(self.units,), initializer="glorot_uniform"
        )

    def call(self, states: Any, attention_mask: Any) -> Any:
        """See the class."""
        is_token = ops.cast(attention_mask, "bool")
        hidden = ops.tanh(ops.matmul(states, self.kernel) + self.bias)
        scores = ops.sum(hidden * self.context, axis=-1)
        highest = ops.max(ops.where(is_token, scores, -1e30), axis=1, keepdims=True)
        # Padding has the highest score before exp, so that no gradient overflows, and zero after.
        weights = ops.exp(ops.where(is_token, scores - highest, 0.0))
        weights *= ops.cast(attention_mask, "float32")
        total = ops.maximum(ops.sum(weights, axis=1, keepdims=True), 1e-30)
        return ops.sum(states * ops.expand_dims(weights, -1), axis=1) / total


def output_layer(classes: int, name: str | None = None) -> keras.layers.Layer:
    """The last layer, from features to logits: a dense layer without activation."""
    return keras.layers.Dense(classes, name=name)
