"""Sets the weights of a Keras network from an exported one: the inverse of `keras_to_onnx`.

The network may have more tokens and more classes than the exported one. A token that the exported
network reads as pieces begins with their weights; the others, and the new classes, have those of a
fresh network.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.network.ngrams import NgramLogits
from gatewise.training.onnx_export.keras_to_onnx import (
    DIRECTIONS,
    add_char_ngrams,
    weights_by_direction,
)

Constants = Mapping[str, NDArray[Any]]
"""The weights of an exported network by name."""


def constants_of(model: bytes) -> Constants:
    """The weights of an exported network, from its serialized form."""
    graph = onnx.load_model_from_string(model).graph
    return {constant.name: numpy_helper.to_array(constant) for constant in graph.initializer}


def set_exported_weights(
    model: keras.Model,
    config: NetworkConfig,
    constants: Constants,
    vocab_size: int,
    classes: NDArray[np.int64],
    pieces: Mapping[int, list[int]],
) -> None:
    """Sets the weights of a network.

    Args:
        model: From `gatewise.training.network.build.build`; the document frequencies of its linear
            path are counted.
        config: The settings that both networks are built with.
        constants: The weights of the exported network.
        vocab_size: Its tokens, the first ones of the network.
        classes: For each of its classes, the class of the network.
        pieces: Of new tokens, the tokens that the exported network reads instead.
    """
    if config.input == "embedding":
        layer = model.get_layer("embedding")
        table = layer.embeddings.numpy()
        # The export adds the vectors of character n-grams.
        added = add_char_ngrams(model, "spelling", np.zeros_like(table))
        exported = constants["embedding.weight"]
        table[:vocab_size] = exported - added[:vocab_size]
        for token, parts in pieces.items():
            table[token] = exported[parts].mean(axis=0) - added[token]
        layer.embeddings.assign(table)
    for number in range(config.layers):
        _set_recurrent(model.get_layer(f"recurrent_{number}"), config, constants, vocab_size)
    if config.readout == "attention":
        layer = model.get_layer("readout")
        # The exported units are padded.
        layer.set_weights(
            [
                constants[f"readout.{name}"].reshape(*own.shape[:-1], -1)[..., : own.shape[-1]]
                for name, own in zip(
                    ("weight", "bias", "context"), layer.get_weights(), strict=True
                )
            ]
        )
    classifier = model.get_layer("classifier")
    kernel, bias = classifier.get_weights()
    kernel[:, classes], bias[classes] = constants["classifier.weight"], constants["classifier.bias"]
    classifier.set_weights([kernel, bias])
    for layer in model.layers:
        if isinstance(layer, NgramLogits):
            _set_ngrams(layer, constants, vocab_size, classes, pieces)


def _set_recurrent(
    layer: keras.layers.Layer, config: NetworkConfig, constants: Constants, vocab_size: int
) -> None:
    weights = layer.get_weights()
    kept = [array[:vocab_size] if layer.vocab_size else array for array in weights[::3]]
    parts = [*weights]
    parts[::3] = kept
    # Each weight by its number, to find where the export places it: 0 is none.
    starts = np.cumsum([1, *(array.size for array in parts)])
    numbered = [
        np.arange(start, start + array.size).reshape(array.shape)
        for start, array in zip(starts, parts, strict=False)
    ]
    values = np.zeros(starts[-1], dtype=np.float32)
    for part, places in weights_by_direction(numbered, config).items():
        for number, direction in enumerate(DIRECTIONS[config.direction]):
            if layer.vocab_size is None:
                exported = constants[f"{layer.name}.{part}"][number]
            elif part == "W":
                exported = constants[f"{layer.name}.{direction}.rows"].T
            else:
                exported = constants[f"{layer.name}.{direction}.{part}"][0]
            values[places[number]] = exported
    found = [values[numbers] for numbers in numbered]
    for array, value in zip(weights, found, strict=True):
        array[: len(value)] = value
    layer.set_weights(weights)


def _set_ngrams(
    layer: NgramLogits,
    constants: Constants,
    vocab_size: int,
    classes: NDArray[np.int64],
    pieces: Mapping[int, list[int]],
) -> None:
    """Sets the linear path; an n-gram that the exported network knows keeps its IDF."""
    hashed = layer.table.rows - layer.table.vocab_size
    rows = np.r_[0:vocab_size, layer.table.rows - hashed : layer.table.rows]
    exported, exported_idf = constants["ngrams.weight"], constants["ngrams.idf"]
    known = exported_idf > 0
    idf, table = layer.idf.numpy(), layer.weights_table.numpy()
    idf[rows[known]] = exported_idf[known]
    columns = classes if layer.kernel is None else np.arange(layer.table.width)
    # The export multiplies the weights of an n-gram by its IDF.
    table[np.ix_(rows[known], columns)] = exported[known] / exported_idf[known, None]
    for token, parts in pieces.items() if 1 in layer.table.lengths else ():
        if idf[token]:
            table[token, columns] = exported[parts].sum(axis=0) / idf[token]
    layer.idf.assign(idf)
    layer.weights_table.assign(table)
    if layer.kernel is not None:
        kernel = layer.kernel.numpy()
        kernel[:, classes] = constants["ngrams.kernel"]
        layer.kernel.assign(kernel)
