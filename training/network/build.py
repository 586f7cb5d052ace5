"""The network: what stands for a token, recurrent layers, a read-out, and the n-gram path.

Built with Keras's functional interface, every layer under a name that `training.lowering` finds it
by. Knows neither texts nor labels: integers in, logits out.
"""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from training.network.layers import (
    AttentionReadout,
    MaskedReadout,
    VectorDropout,
    WordDropout,
    output_layer,
)
from training.network.ngrams import NgramLogits
from training.network.recurrence import Dropped, Recurrence
from training.network.shape import NgramTable, Shape
from training.network.vectors import Vectors
from training.settings.network import NetworkConfig


def build(
    config: NetworkConfig, shape: Shape, seed: int, vectors: Vectors | None = None
) -> keras.Model:
    """The whole network, from token ids to logits.

    Inputs `input_ids` and `attention_mask`, int32 `(batch, tokens)`, padded on the right; output
    `logits`, float32 `(batch, classes)`.

    Args:
        config: The network's settings.
        shape: Sizes that follow from the corpus.
        seed: Seed of initial weights and dropout.
        vectors: What the embedding starts from; None for small random numbers.
    """
    keras.config.set_floatx("float32")  # whatever a keras.json in the user's home says
    keras.utils.set_random_seed(seed)
    seeds = _seeds(seed)
    input_ids = keras.Input((None,), dtype="int32", name="input_ids")
    attention_mask = keras.Input((None,), dtype="int32", name="attention_mask")
    tokens = WordDropout(config.word_dropout, next(seeds), name="word_dropout")(input_ids)

    states = _recurrent(config, shape, tokens, attention_mask, vectors, seeds)
    if config.readout == "attention":
        states = AttentionReadout(config.units, name="readout")(states, attention_mask)
    elif config.readout != "last":
        states = MaskedReadout(config.readout, name="readout")(states, attention_mask)
    features = keras.layers.Dropout(config.dropout, seed=next(seeds), name="dropout")(states)
    logits = output_layer(shape.classes, name="classifier")(features)
    if shape.ngrams:
        table = NgramTable(shape.ngrams, shape.vocab_size, config.buckets)
        logits = logits + NgramLogits(table, shape.classes, name="ngrams")(tokens, attention_mask)
    return keras.Model(
        inputs={"input_ids": input_ids, "attention_mask": attention_mask},
        outputs=logits,
        name="gatewise",
    )


def _recurrent(
    config: NetworkConfig,
    shape: Shape,
    tokens: Any,
    attention_mask: Any,
    vectors: Vectors | None,
    seeds: Iterator[int],
) -> Any:
    """From token ids to the states of the last recurrent layer."""
    one_hot = config.input == "one_hot"
    # A one-hot vector's features are the dictionary's tokens.
    in_text = config.input_dropout if one_hot else 0.0
    factors = None
    if config.embedding_dropout or in_text:
        drop = VectorDropout(
            shape.vocab_size,
            config.embedding_dropout,
            in_text,
            next(seeds),
            name="embedding_dropout",
        )
        factors = drop(tokens)
    states = tokens
    if not one_hot:
        states = _embedding(config, shape, vectors)(tokens)
        states = states if factors is None else states * factors

    lengths = ops.sum(attention_mask, axis=1)
    for number in range(config.layers):
        on_ids = one_hot and number == 0
        if config.input_dropout and not on_ids:
            name = f"input_dropout_{number}"
            states = keras.layers.SpatialDropout1D(
                config.input_dropout, seed=next(seeds), name=name
            )(states)
        layer = Recurrence(
            config.cell,
            config.units,
            config.direction,
            vocab_size=shape.vocab_size if on_ids else None,
            return_sequences=number < config.layers - 1 or config.readout != "last",
            reset_after=config.reset_after,
            dropped=Dropped(config.recurrent_dropout, config.weight_drop, next(seeds)),
            name=f"recurrent_{number}",
        )
        states = layer(states, lengths, factors) if on_ids else layer(states, lengths)
    return states


def _embedding(
    config: NetworkConfig, shape: Shape, vectors: Vectors | None
) -> keras.layers.Embedding:
    layer = keras.layers.Embedding(
        shape.vocab_size,
        config.embedding_size,
        trainable=config.train_vectors,
        name="embedding",
    )
    if vectors is not None:
        layer.build()
        layer.set_weights([vectors.matrix])
    return layer


def _seeds(seed: int) -> Iterator[int]:
    """Seeds of the layers, each of its own: layers with one seed would drop the same places."""
    sequence = np.random.SeedSequence(seed)
    while True:
        yield int(sequence.spawn(1)[0].generate_state(1)[0])
