"""Builds the network: embedding, recurrent layers, pooling and the linear n-gram path.

For sequences of numbers, their standardization takes the place of the embedding, and there is no
n-gram path.

Uses Keras's functional interface; `gatewise.training.onnx_export` finds each layer by its name.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.data.feature_scale import FeatureScale
from gatewise.training.network.char_ngram_embedding import CharNgramEmbedding
from gatewise.training.network.char_ngrams import CharNgrams
from gatewise.training.network.layers import (
    AttentionPooling,
    EmbeddingDropout,
    MaskedPooling,
    Standardization,
    WordDropout,
    output_layer,
)
from gatewise.training.network.ngrams import NgramLogits, NgramRows
from gatewise.training.network.recurrence import Recurrence, RecurrentDropout
from gatewise.training.network.shape import Shape
from gatewise.training.network.vectors import Vectors
from gatewise.vocab.tokenizer.encoding import ATTENTION_MASK, INPUT_IDS, INPUT_VALUES

PATHS = ("classifier", "ngrams")
"""The layers whose logits are summed: the recurrent path and, if there is one, the linear path."""


@dataclass(frozen=True)
class LookupTable:
    """Weights of which a batch gathers a few rows: by token, by n-gram or by character n-gram.

    Attributes:
        weights: The rows.
        linear: Whether the rows are summed to logits; otherwise they are inputs of further layers.
    """

    weights: keras.Variable
    linear: bool


def build(
    config: NetworkConfig,
    shape: Shape,
    seed: int,
    vectors: Vectors | None = None,
    char_ngrams: CharNgrams | None = None,
    scale: FeatureScale | None = None,
) -> keras.Model:
    """Builds the network, from token ids to logits.

    Inputs `input_ids` and `attention_mask`, int32 `(batch, tokens)`, padded on the right; output
    `logits`, float32 `(batch, classes)`. With a scale, the input is `input_values`, float32
    `(batch, steps, features)`, in place of ids.

    Args:
        config: The network's settings.
        shape: Sizes that follow from the corpus.
        seed: Seed of the initial weights and of dropout.
        vectors: Initial values of the embedding; None for small random numbers.
        char_ngrams: The character n-grams of each token; None to use none.
        scale: How the numbers of sequences are standardized; None for texts.
    """
    keras.config.set_floatx("float32")  # a keras.json in the home directory may say otherwise
    keras.utils.set_random_seed(seed)
    seeds = _seeds(seed)
    attention_mask = keras.Input((None,), dtype="int32", name=ATTENTION_MASK)
    tokens = factors = None
    if scale is not None:
        inputs = keras.Input((None, shape.features), dtype="float32", name=INPUT_VALUES)
        states = Standardization(scale, name="standardization")(inputs)
    else:
        inputs = keras.Input((None,), dtype="int32", name=INPUT_IDS)
        tokens = WordDropout(config.word_dropout, next(seeds), name="word_dropout")(inputs)
        states, factors = _embedded(config, shape, tokens, vectors, char_ngrams, seeds)
    states = _recurrent(config, shape, states, factors, attention_mask, seeds)
    if config.readout == "attention":
        states = AttentionPooling(config.units, name="readout")(states, attention_mask)
    elif config.readout != "last":
        states = MaskedPooling(config.readout, name="readout")(states, attention_mask)
    features = keras.layers.Dropout(config.dropout, seed=next(seeds), name="dropout")(states)
    logits = output_layer(shape.classes, name="classifier")(features)
    if shape.ngrams:
        table = shape.table()
        rows = NgramRows(table, name="ngram_rows")(tokens, attention_mask)
        extra_weights = []
        if char_ngrams and 1 in shape.ngrams:
            token_ids = ops.where(rows < shape.vocab_size, rows, 0)
            layer = CharNgramEmbedding(char_ngrams, table.width, "zeros", name="ngram_spelling")
            extra_weights = [layer(token_ids)]
        logits = logits + NgramLogits(table, shape.classes, name="ngrams")(rows, *extra_weights)
    return keras.Model(
        inputs={inputs.name: inputs, ATTENTION_MASK: attention_mask},
        outputs=logits,
        name="gatewise",
    )


def input_name(model: keras.Model) -> str:
    """The name of the input that is no mask: `input_ids`, or `input_values` of sequences."""
    (name,) = (each.name for each in model.inputs if each.name != ATTENTION_MASK)
    return str(name)


def lookup_tables(model: keras.Model) -> list[LookupTable]:
    """The trainable weights of which a batch gathers a few rows.

    Args:
        model: From `build`.
    """
    found = []
    for layer in model.layers:
        if isinstance(layer, keras.layers.Embedding):
            found.append(LookupTable(layer.embeddings, linear=False))
        elif isinstance(layer, CharNgramEmbedding):
            found.append(LookupTable(layer.vectors, linear=layer.name == "ngram_spelling"))
        elif isinstance(layer, NgramLogits):
            found.append(LookupTable(layer.weights_table, linear=True))
        elif isinstance(layer, Recurrence) and layer.vocab_size is not None:
            found += [LookupTable(kernel, linear=False) for kernel, *_ in layer.directions]
    return [table for table in found if table.weights.trainable]


def path_outputs(model: keras.Model) -> keras.Model:
    """The same network with the logits of each path as an output: their sum is its logits.

    Args:
        model: From `build`.
    """
    names = [name for name in PATHS if name in _names(model)]
    return keras.Model(model.inputs, [model.get_layer(name).output for name in names])


def scale_paths(model: keras.Model, factors: Sequence[float]) -> None:
    """Multiplies the logits of each path by a factor, by scaling its last weights in place.

    Args:
        model: From `build`.
        factors: A factor for each path, in the order of `path_outputs`.
    """
    classifier, *linear = factors
    scaled = [(weights, classifier) for weights in model.get_layer("classifier").weights]
    if linear:
        ngrams = model.get_layer("ngrams")
        last = [ngrams.bias, ngrams.weights_table if ngrams.kernel is None else ngrams.kernel]
        if ngrams.kernel is None and "ngram_spelling" in _names(model):
            last.append(model.get_layer("ngram_spelling").vectors)
        scaled += [(weights, linear[0]) for weights in last]
    for weights, factor in scaled:
        weights.assign(weights * factor)


def exported_parameters(model: keras.Model) -> int:
    """Number of parameters of the exported network.

    The character n-gram embeddings and the bias of the linear path are not counted: the export adds
    them to other weights.

    Args:
        model: From `build`.
    """
    layers = model.layers
    merged = sum(each.count_params() for each in layers if isinstance(each, CharNgramEmbedding))
    merged += sum(each.classes for each in layers if isinstance(each, NgramLogits))
    return int(model.count_params()) - merged


def _names(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers]


def _embedded(
    config: NetworkConfig,
    shape: Shape,
    tokens: Any,
    vectors: Vectors | None,
    char_ngrams: CharNgrams | None,
    seeds: Iterator[int],
) -> tuple[Any, Any]:
    """Token ids to the input of the first recurrent layer, and the factors of one-hot tokens."""
    one_hot = config.input == "one_hot"
    # The features of a one-hot vector are the tokens of the vocabulary.
    text_rate = config.input_dropout if one_hot else 0.0
    factors = None
    if config.embedding_dropout or text_rate:
        dropout = EmbeddingDropout(
            shape.vocab_size,
            config.embedding_dropout,
            text_rate,
            next(seeds),
            name="embedding_dropout",
        )
        factors = dropout(tokens)
    if one_hot:
        return tokens, factors
    states = _embedding(config, shape, vectors)(tokens)
    # Frozen vectors stay as they are, in the exported network too.
    if char_ngrams and config.trains_vectors:
        layer = CharNgramEmbedding(char_ngrams, config.embedding_size, "uniform", name="spelling")
        states = states + layer(tokens)
    return (states if factors is None else states * factors), None


def _recurrent(
    config: NetworkConfig,
    shape: Shape,
    states: Any,
    factors: Any,
    attention_mask: Any,
    seeds: Iterator[int],
) -> Any:
    """The input of the first recurrent layer to the output of the last."""
    lengths = ops.sum(attention_mask, axis=1)
    for number in range(config.layers):
        on_ids = config.input == "one_hot" and number == 0 and not shape.features
        # Of a few numbers each tells too much to be dropped.
        is_dropped = not on_ids and not (shape.features and number == 0)
        if config.input_dropout and is_dropped:
            name = f"input_dropout_{number}"
            states = keras.layers.SpatialDropout1D(
                config.input_dropout, seed=next(seeds), name=name
            )(states)
        recurrence = Recurrence(
            config.cell,
            config.units,
            config.direction,
            vocab_size=shape.vocab_size if on_ids else None,
            return_sequences=number < config.layers - 1 or config.readout != "last",
            reset_after=config.reset_after,
            dropout=RecurrentDropout(config.recurrent_dropout, config.weight_drop, next(seeds)),
            name=f"recurrent_{number}",
        )
        states = recurrence(states, lengths, factors) if on_ids else recurrence(states, lengths)
    return states


def _embedding(
    config: NetworkConfig, shape: Shape, vectors: Vectors | None
) -> keras.layers.Embedding:
    layer = keras.layers.Embedding(
        shape.vocab_size,
        config.embedding_size,
        trainable=config.trains_vectors,
        name="embedding",
    )
    if vectors is not None:
        layer.build()
        layer.set_weights([vectors.matrix])
    return layer


def _seeds(seed: int) -> Iterator[int]:
    """A different seed for each layer: with one seed, all would drop the same positions."""
    sequence = np.random.SeedSequence(seed)
    while True:
        yield int(sequence.spawn(1)[0].generate_state(1)[0])
