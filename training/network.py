"""The network: token embeddings, recurrent layers, a read-out, and the n-gram path beside them.

Built with Keras's functional interface, every layer under a name that `training.lowering` finds
it by. Knows neither texts nor labels: integers in, logits out.
"""

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from training.ngrams import NgramLogits, NgramTable
from training.settings.network import Cell, Direction, NetworkConfig, Readout
from vocab.dictionary import BEGIN_ID, UNKNOWN_ID

_CELLS = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM, "rnn": keras.layers.SimpleRNN}


@dataclass(frozen=True)
class Shape:
    """What the network's sizes follow from beside the config.

    Attributes:
        vocab_size: Tokens in the dictionary.
        classes: Number of classes.
        ngrams: n-gram lengths of the linear path, ascending; empty for none.
    """

    vocab_size: int
    classes: int
    ngrams: tuple[int, ...]


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
        replaced = ops.logical_and(chance < self.rate, input_ids > BEGIN_ID)
        return ops.where(replaced, UNKNOWN_ID, input_ids)


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
            parts.append(ops.sum(states * mask, axis=1) / ops.sum(mask, axis=1))
        return ops.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]


def recurrent(
    cell: Cell,
    units: int,
    direction: Direction = "forward",
    *,
    return_sequences: bool = False,
    reset_after: bool = True,
    name: str | None = None,
) -> keras.layers.Layer:
    """One recurrent layer.

    Args:
        cell: `gru`, `lstm` or `rnn`.
        units: Units in each direction; a bidirectional layer concatenates forward and backward.
        direction: Which way the steps are read.
        return_sequences: Whether the state at every step is returned, in the order of the steps
            for every direction, or only the last one.
        reset_after: For `gru`, see `NetworkConfig.reset_after`.
        name: Name of the layer.
    """
    options = {"reset_after": reset_after} if cell == "gru" else {}
    bidirectional = direction == "bidirectional"
    layer = _CELLS[cell](
        units,
        return_sequences=return_sequences,
        go_backwards=direction == "backward",
        name=None if bidirectional else name,
        **options,
    )
    return keras.layers.Bidirectional(layer, name=name) if bidirectional else layer


def output_layer(classes: int, name: str | None = None) -> keras.layers.Layer:
    """The last layer, features to logits: a weight for each feature and class, and a bias each.

    Args:
        classes: Number of outputs.
        name: Name of the layer.
    """
    return keras.layers.Dense(classes, name=name)


def build(config: NetworkConfig, shape: Shape, seed: int) -> keras.Model:
    """The whole network, from token ids to logits.

    Inputs `input_ids` and `attention_mask`, int32 `(batch, tokens)`, padded on the right; output
    `logits`, float32 `(batch, classes)`.

    Args:
        config: The network's settings.
        shape: Sizes that follow from the corpus.
        seed: Seed of initial weights and dropout.
    """
    keras.config.set_floatx("float32")  # whatever a keras.json in the user's home says
    keras.utils.set_random_seed(seed)
    input_ids = keras.Input((None,), dtype="int32", name="input_ids")
    attention_mask = keras.Input((None,), dtype="int32", name="attention_mask")
    tokens = WordDropout(config.word_dropout, seed, name="word_dropout")(input_ids)
    is_token = ops.cast(attention_mask, "bool")

    states = keras.layers.Embedding(shape.vocab_size, config.embedding_size, name="embedding")(
        tokens
    )
    for number in range(config.layers):
        sequences = number < config.layers - 1 or config.readout != "last"
        layer = recurrent(
            config.cell,
            config.units,
            config.direction,
            return_sequences=sequences,
            reset_after=config.reset_after,
            name=f"recurrent_{number}",
        )
        states = layer(states, mask=is_token)
        if sequences and config.direction == "backward":
            states = ops.flip(states, axis=1)  # Keras returns the steps in the order read
    if config.readout != "last":
        states = MaskedReadout(config.readout, name="readout")(states, attention_mask)
    features = keras.layers.Dropout(config.dropout, seed=seed, name="dropout")(states)
    logits = output_layer(shape.classes, name="classifier")(features)
    if shape.ngrams:
        table = NgramTable(shape.ngrams, shape.vocab_size, config.buckets)
        logits = logits + NgramLogits(table, shape.classes, name="ngrams")(tokens, attention_mask)
    return keras.Model(
        inputs={"input_ids": input_ids, "attention_mask": attention_mask},
        outputs=logits,
        name="gatewise",
    )
