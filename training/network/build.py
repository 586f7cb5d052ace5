"""The network: what stands for a token, recurrent layers, a read-out, and the n-gram path.

Built with Keras's functional interface, every layer under a name that
`gatewise.training.onnx_export` finds it by. Knows neither texts nor labels: integers in, logits
out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.network.char_ngram_embedding import CharNgramEmbedding
from gatewise.training.network.char_ngrams import CharNgrams
from gatewise.training.network.layers import (
    AttentionReadout,
    MaskedReadout,
    VectorDropout,
    WordDropout,
    output_layer,
)
from gatewise.training.network.ngrams import NgramLogits, NgramRows
from gatewise.training.network.recurrence import Dropped, Recurrence
from gatewise.training.network.shape import Shape
from gatewise.training.network.vectors import Vectors
from keras import ops


@dataclass(frozen=True)
class Table:
    """Weights of which a batch looks up a few rows: by token, by stretch or by n-gram.

    Attributes:
        weights: The rows.
        linear: Whether they are added up to logits, and not the inputs of further layers.
    """

    weights: keras.Variable
    linear: bool


def build(
    config: NetworkConfig,
    shape: Shape,
    seed: int,
    vectors: Vectors | None = None,
    spelling: CharNgrams | None = None,
) -> keras.Model:
    """The whole network, from token ids to logits.

    Inputs `input_ids` and `attention_mask`, int32 `(batch, tokens)`, padded on the right; output
    `logits`, float32 `(batch, classes)`.

    Args:
        config: The network's settings.
        shape: Sizes that follow from the corpus.
        seed: Seed of initial weights and dropout.
        vectors: What the embedding starts from; None for small random numbers.
        spelling: How tokens are spelled, where that counts.
    """
    keras.config.set_floatx("float32")  # whatever a keras.json in the user's home says
    keras.utils.set_random_seed(seed)
    seeds = _seeds(seed)
    input_ids = keras.Input((None,), dtype="int32", name="input_ids")
    attention_mask = keras.Input((None,), dtype="int32", name="attention_mask")
    tokens = WordDropout(config.word_dropout, next(seeds), name="word_dropout")(input_ids)

    states = _recurrent(config, shape, tokens, attention_mask, (vectors, spelling), seeds)
    if config.readout == "attention":
        states = AttentionReadout(config.units, name="readout")(states, attention_mask)
    elif config.readout != "last":
        states = MaskedReadout(config.readout, name="readout")(states, attention_mask)
    features = keras.layers.Dropout(config.dropout, seed=next(seeds), name="dropout")(states)
    logits = output_layer(shape.classes, name="classifier")(features)
    if shape.ngrams:
        table = shape.table()
        rows = NgramRows(table, name="ngram_rows")(tokens, attention_mask)
        spelled = []
        if spelling and 1 in shape.ngrams:
            of_tokens = ops.where(rows < shape.vocab_size, rows, 0)
            spelled = [
                CharNgramEmbedding(spelling, table.width, "zeros", name="ngram_spelling")(of_tokens)
            ]
        logits = logits + NgramLogits(table, shape.classes, name="ngrams")(rows, *spelled)
    return keras.Model(
        inputs={"input_ids": input_ids, "attention_mask": attention_mask},
        outputs=logits,
        name="gatewise",
    )


def tables(model: keras.Model) -> list[Table]:
    """The trained weights of which a batch looks up a few rows.

    Args:
        model: From `build`.
    """
    found = []
    for layer in model.layers:
        if isinstance(layer, keras.layers.Embedding):
            found.append(Table(layer.embeddings, linear=False))
        elif isinstance(layer, CharNgramEmbedding):
            found.append(Table(layer.vectors, linear=layer.name == "ngram_spelling"))
        elif isinstance(layer, NgramLogits):
            found.append(Table(layer.weights_table, linear=True))
        elif isinstance(layer, Recurrence) and layer.vocab_size is not None:
            found += [Table(kernel, linear=False) for kernel, *_ in layer.directions]
    return [table for table in found if table.weights.trainable]


def paths(model: keras.Model) -> keras.Model:
    """The same network with the logits of each of its paths, whose sum is its answer.

    Args:
        model: From `build`.
    """
    names = [name for name in ("classifier", "ngrams") if name in _names(model)]
    return keras.Model(model.inputs, [model.get_layer(name).output for name in names])


def weigh_paths(model: keras.Model, factors: Sequence[float]) -> None:
    """Multiplies the logits of each path by a number, in its weights.

    Args:
        model: From `build`.
        factors: A number for each path, in the order of `paths`.
    """
    classifier, *linear = factors
    changed = [(weights, classifier) for weights in model.get_layer("classifier").weights]
    if linear:
        ngrams = model.get_layer("ngrams")
        last = [ngrams.weights_table] if ngrams.kernel is None else [ngrams.kernel]
        if ngrams.kernel is None and "ngram_spelling" in _names(model):
            last.append(model.get_layer("ngram_spelling").vectors)
        changed += [(weights, linear[0]) for weights in last]
    for weights, factor in changed:
        weights.assign(weights * factor)


def exported_parameters(model: keras.Model) -> int:
    """Numbers in a network as it is exported: what spelling adds is then in other layers.

    Args:
        model: From `build`.
    """
    folded = sum(
        layer.count_params() for layer in model.layers if isinstance(layer, CharNgramEmbedding)
    )
    return int(model.count_params()) - folded


def _names(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers]


def _recurrent(
    config: NetworkConfig,
    shape: Shape,
    tokens: Any,
    attention_mask: Any,
    known: tuple[Vectors | None, CharNgrams | None],
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
        vectors, spelling = known
        states = _embedding(config, shape, vectors)(tokens)
        # Vectors that are not trained stay as they are, in the exported network too.
        if spelling and config.trains_vectors:
            add = CharNgramEmbedding(spelling, config.embedding_size, "uniform", name="spelling")
            states = states + add(tokens)
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
        trainable=config.trains_vectors,
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
