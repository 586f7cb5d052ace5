"""The layers before and after the recurrent ones: what is dropped of the tokens, and read-outs.

Integers and vectors in, vectors out. Every layer does nothing outside training that its weights do
not say, so `gatewise.training.onnx_export.keras_to_onnx` leaves out those that only drop.
"""

from typing import Any

import keras
from gatewise.training.config.network_section import Readout
from gatewise.vocab.tokenizer.tokenizer import CLS_ID, UNKNOWN_ID
from keras import ops

_DRAWS_A_TEXT = 4096
"""Draws for each text of a one-hot input's dropout; with more tokens, some share one."""


class WordDropout(keras.layers.Layer):
    """Replaces a share of the tokens by the unknown one while training.

    The network learns not to lean on any single word, and what to make of unknown ones.
    The begin mark and padding are left as they are.

    Args:
        rate: Share of tokens replaced, in [0, 1).
        seed: Seed of the choice.
    """

    def __init__(self, rate: float, seed: int, **options: object) -> None:
        super().__init__(**options)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, input_ids: Any, training: bool = False) -> Any:
        """`input_ids`, int32 `(batch, tokens)`, to the same shape."""
        if not training or self.rate == 0:
            return input_ids
        chance = keras.random.uniform(ops.shape(input_ids), seed=self.seed_generator)
        replaced = ops.logical_and(chance < self.rate, input_ids > CLS_ID)
        return ops.where(replaced, UNKNOWN_ID, input_ids)


class VectorDropout(keras.layers.Layer):
    """What each token's vector is multiplied by while training: zero where it is dropped.

    What is kept is scaled up, so that the mean stays the same.

    Args:
        vocab_size: Tokens in the dictionary.
        everywhere: Share of the dictionary dropped at each update, wherever it stands.
        in_text: Share of the dictionary dropped for each text, wherever it stands in that text:
            the variational dropout of a one-hot input.
        seed: Seed of the choice.
    """

    def __init__(
        self, vocab_size: int, everywhere: float, in_text: float, seed: int, **options: object
    ) -> None:
        super().__init__(**options)
        self.vocab_size = vocab_size
        self.everywhere = everywhere
        self.in_text = in_text
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, input_ids: Any, training: bool = False) -> Any:
        """`input_ids`, integers `(batch, tokens)`, to float32 `(batch, tokens, 1)`."""
        factors = ops.ones(ops.shape(input_ids), dtype="float32")
        if training and self.everywhere:
            factors *= ops.take(self._dropped((self.vocab_size,), self.everywhere), input_ids)
        if training and self.in_text:
            draws = min(self.vocab_size, _DRAWS_A_TEXT)
            dropped = self._dropped((ops.shape(input_ids)[0], draws), self.in_text)
            factors *= ops.take_along_axis(dropped, input_ids % draws, axis=1)
        return ops.expand_dims(factors, -1)

    def _dropped(self, shape: tuple[Any, ...], rate: float) -> Any:
        return keras.random.dropout(ops.ones(shape), rate, seed=self.seed_generator)


class MaskedReadout(keras.layers.Layer):
    """The maximum, the mean, or both, over the steps that are tokens.

    Inputs: states, float32 `(batch, tokens, features)`, and `attention_mask`, `(batch, tokens)`.
    Output: float32 `(batch, features)`, or twice the features for `max_mean`, the maximum first.

    Args:
        readout: `max`, `mean` or `max_mean`.
    """

    def __init__(self, readout: Readout, **options: object) -> None:
        super().__init__(**options)
        self.supports_masking = True
        self.readout = readout

    def compute_mask(self, *_: Any, **__: Any) -> None:
        """The mask ends here: a summary of a text has no steps left to mask."""

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


class AttentionReadout(keras.layers.Layer):
    """The mean of the states that are tokens, weighted by an attention that is learnt.

    A state's score is `v · tanh(W h + b)`, and the weights are the softmax of the scores over the
    text (Bahdanau et al. 2015; a learnt `v` in place of a query as in Yang et al. 2016).

    Inputs: states, float32 `(batch, tokens, features)`, and `attention_mask`, `(batch, tokens)`.
    Output: float32 `(batch, features)`.

    Args:
        units: Width of the layer that scores a state.
    """

    def __init__(self, units: int, **options: object) -> None:
        super().__init__(**options)
        self.units = units

    def build(self, states_shape: tuple[int | None, ...], **_: object) -> None:
        """Makes W, b and v."""
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
        # Padding takes the highest score before exp, where no gradient can overflow, and zero
        # after it.
        shares = ops.exp(ops.where(is_token, scores - highest, 0.0))
        shares *= ops.cast(attention_mask, "float32")
        total = ops.maximum(ops.sum(shares, axis=1, keepdims=True), 1e-30)
        return ops.sum(states * ops.expand_dims(shares, -1), axis=1) / total


def output_layer(classes: int, name: str | None = None) -> keras.layers.Layer:
    """The last layer, features to logits: a weight for each feature and class, and a bias each.

    Args:
        classes: Number of outputs.
        name: Name of the layer.
    """
    return keras.layers.Dense(classes, name=name)
