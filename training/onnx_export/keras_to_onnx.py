"""Exports the Keras network to ONNX: fused recurrent operators and a few plain ones.

Each recurrent layer becomes one GRU, LSTM or RNN operator with `sequence_lens`: there is no loop,
and the backward direction starts at each text's own last token. Sums over time run along the first
axis, step by step: padding adds exact zeros, so a text's logits are the same bits in any batch.

A one-hot input is a Gather of the first layer's kernel, whose row for a token is the input of the
gates. The operators always multiply by a kernel, so they get the identity, which passes that input
on exactly; each direction then is an operator of its own.

The vectors of character n-grams are added to the tables of tokens here.

Sequences of numbers are standardized by the graph, so that a runtime gives plain numbers. A number
that is not equal to itself is NaN, a missing one.

Gate order and biases follow the operator definitions (https://onnx.ai/onnx/operators/): ONNX has
z, r, h for GRU, as Keras, and i, o, f, c for LSTM, where Keras has i, f, c, o.
"""

import keras
import numpy as np
import onnx
from onnx import TensorProto

from gatewise.service.model.linear_path import MIN_NORM, MULTIPLIERS, SCALE
from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.data.feature_scale import FeatureScale
from gatewise.training.network.build import input_name
from gatewise.training.network.char_ngram_embedding import CharNgramEmbedding
from gatewise.training.network.layers import Standardization
from gatewise.training.network.ngrams import NgramLogits
from gatewise.training.network.shape import NgramTable
from gatewise.training.onnx_export.graph_builder import DEVIATION, MEAN, Array, Graph
from gatewise.training.onnx_export.pooling import pool
from gatewise.vocab.tokenizer.encoding import ATTENTION_MASK

OPERATORS = {"gru": "GRU", "lstm": "LSTM", "rnn": "RNN"}
"""The ONNX operator of each cell."""

DIRECTIONS = {
    "forward": ("forward",),
    "backward": ("reverse",),
    "bidirectional": ("forward", "reverse"),
}
"""ONNX's names of the directions of a recurrent layer."""

_TO_END = np.iinfo(np.int64).max
"""The end of a Slice that has none."""


def to_onnx(model: keras.Model, config: NetworkConfig) -> onnx.ModelProto:
    """Exports a trained network to ONNX.

    Inputs `input_ids` and `attention_mask`, int64 `(batch, sequence)`; output `logits`, float32
    `(batch, classes)`. Dropout layers are left out. In place of ids a network of sequences takes
    `input_values`, float32 `(batch, sequence, features)`.

    Args:
        model: From `gatewise.training.network.build.build`.
        config: The settings that it was built with.
    """
    graph = Graph()
    # Time comes first inside the graph, as onnxruntime's recurrent operators want it.
    scales = [layer.scale for layer in model.layers if isinstance(layer, Standardization)]
    perm = [1, 0, 2] if scales else [1, 0]
    ids = graph.add("Transpose", input_name(model), perm=perm)
    mask = graph.add("Transpose", ATTENTION_MASK, perm=[1, 0])
    length = graph.add("ReduceSum", mask, graph.integers(0), keepdims=0)
    scale = scales[0] if scales else None
    states = _states(graph, model, config, ids, length, scale)
    features = pool(graph, model, config.readout, states, mask, length)
    kernel, bias = model.get_layer("classifier").get_weights()
    linear = [layer for layer in model.layers if isinstance(layer, NgramLogits)]
    bias = sum((layer.bias.numpy() for layer in linear), start=bias)
    logits = graph.add(
        "Gemm",
        features,
        graph.constant("classifier.weight", kernel),
        graph.constant("classifier.bias", bias),
    )
    if linear:
        logits = graph.add("Add", logits, _ngram_logits(graph, model, linear[0], ids, mask))
    return graph.model(logits, classes=len(bias), features=len(scale.mean) if scale else 0)


def operators(*models: onnx.ModelProto) -> tuple[str, ...]:
    """The operator types that occur in models, sorted."""
    return tuple(sorted({node.op_type for model in models for node in model.graph.node}))


def standardized(graph: Graph, numbers: str, scale: FeatureScale) -> str:
    """Numbers, whose last axis is the features, as `Standardization` gives them."""
    distances = graph.add("Sub", numbers, graph.constant(MEAN, scale.mean))
    quotients = graph.add("Div", distances, graph.constant(DEVIATION, scale.deviation))
    is_known = graph.add("Equal", numbers, numbers)
    return graph.add("Where", is_known, quotients, graph.constant("zero", 0.0))


def _embedded(graph: Graph, model: keras.Model, config: NetworkConfig, ids: str) -> str:
    """The vectors of ids `(tokens, batch)`; empty if they are one-hot."""
    if config.input != "embedding":
        return ""
    (table,) = model.get_layer("embedding").get_weights()
    table = add_char_ngrams(model, "spelling", table)
    return graph.add("Gather", graph.constant("embedding.weight", table), ids)


def _states(
    graph: Graph,
    model: keras.Model,
    config: NetworkConfig,
    ids: str,
    length: str,
    scale: FeatureScale | None,
) -> tuple[str, str]:
    """From ids `(tokens, batch)`, or numbers, to the output of the last recurrent layer.

    Returns:
        Every state, `(tokens, directions, batch, units)`, and the last, `(directions, batch,
        units)`.
    """
    lengths = graph.add("Cast", length, to=TensorProto.INT32)
    inputs = standardized(graph, ids, scale) if scale else _embedded(graph, model, config, ids)
    states = last = ""
    for number in range(config.layers):
        if number:
            # (tokens, directions, batch, units) -> (tokens, batch, directions x units)
            inputs = graph.add("Transpose", states, perm=[0, 2, 1, 3])
            inputs = graph.add("Reshape", inputs, graph.integers(0, 0, -1))
        name = f"recurrent_{number}"
        weights = weights_by_direction(model.get_layer(name).get_weights(), config)
        if inputs:
            names = _constants(graph, name, weights)
            states, last = _operator(graph, config, inputs, names, lengths)
        else:
            states, last = _one_hot_layer(graph, name, config, ids, weights, lengths)
    return states, last


def _one_hot_layer(
    graph: Graph,
    name: str,
    config: NetworkConfig,
    ids: str,
    weights: dict[str, list[Array]],
    lengths: str,
) -> tuple[str, str]:
    """The first layer over one-hot tokens: gathers the rows of its kernels."""
    results = []
    for number, direction in enumerate(DIRECTIONS[config.direction]):
        kernel, recurrent, bias = (weights[part][number] for part in "WRB")
        prefix = f"{name}.{direction}"
        inputs = graph.add("Gather", graph.constant(f"{prefix}.rows", kernel.T), ids)
        rest = {"R": [recurrent], "B": [bias]}
        names = {"W": identity(graph, len(kernel)), **_constants(graph, prefix, rest)}
        results.append(_operator(graph, config, inputs, names, lengths, (direction,)))
    if len(results) == 1:
        return results[0]
    states, last = zip(*results, strict=True)
    return graph.add("Concat", *states, axis=1), graph.add("Concat", *last, axis=0)


def identity(graph: Graph, size: int) -> str:
    """The identity matrix, `(1, size, size)`, computed by the runtime when it loads the model."""
    numbers = graph.constant("numbers", np.arange(size), np.int64)
    columns = graph.add("Unsqueeze", numbers, graph.integers(1))
    same = graph.add("Cast", graph.add("Equal", columns, numbers), to=TensorProto.FLOAT)
    return graph.add("Unsqueeze", same, graph.integers(0))


def _constants(graph: Graph, name: str, weights: dict[str, list[Array]]) -> dict[str, str]:
    """Adds the weights of a recurrent operator as constants, its directions stacked."""
    return {
        part: graph.constant(f"{name}.{part}", np.stack(each)) for part, each in weights.items()
    }


def _operator(
    graph: Graph,
    config: NetworkConfig,
    inputs: str,
    weights: dict[str, str],
    lengths: str,
    directions: tuple[str, ...] = (),
) -> tuple[str, str]:
    directions = directions or DIRECTIONS[config.direction]
    attributes = {"linear_before_reset": int(config.reset_after)} if config.cell == "gru" else {}
    states = graph.add(
        OPERATORS[config.cell],
        inputs,
        *(weights[part] for part in "WRB"),
        lengths,
        outputs=2,
        direction=directions[0] if len(directions) == 1 else "bidirectional",
        hidden_size=config.units,
        **attributes,
    )
    return states, f"{states}_1"


def weights_by_direction(weights: list[Array], config: NetworkConfig) -> dict[str, list[Array]]:
    """Keras's kernel, recurrent kernel and bias as ONNX's W, R and B, for each direction.

    W: `(gates x units, features)`; R: `(gates x units, units)`; B: `(2 x gates x units,)`, the
    input's biases and then the recurrent ones.
    """
    parts: dict[str, list[Array]] = {"W": [], "R": [], "B": []}
    for start in range(0, len(weights), 3):
        kernel, recurrent, bias = weights[start : start + 3]
        if bias.ndim == 1:  # all but a GRU with reset_after have one bias
            bias = np.stack([bias, np.zeros_like(bias)])
        parts["W"].append(_reorder_gates(kernel, config).T)
        parts["R"].append(_reorder_gates(recurrent, config).T)
        parts["B"].append(_reorder_gates(bias, config).reshape(-1))
    return parts


def _reorder_gates(matrix: Array, config: NetworkConfig) -> Array:
    """Reorders the gates, concatenated in the last axis, from Keras's order to ONNX's."""
    if config.cell != "lstm":
        return matrix
    inputs, forget, candidate, output = np.split(matrix, 4, axis=-1)
    return np.concatenate([inputs, output, forget, candidate], axis=-1)


def add_char_ngrams(model: keras.Model, name: str, table: Array) -> Array:
    """A table whose first rows are tokens, plus the vectors of a `CharNgramEmbedding`."""
    for layer in model.layers:
        if isinstance(layer, CharNgramEmbedding) and layer.name == name:
            added = layer.vocabulary_vectors()
            rows = [np.add(table[: len(added)], added), table[len(added) :]]
            table = np.concatenate(rows)
    return table


def _ngram_logits(graph: Graph, model: keras.Model, layer: NgramLogits, ids: str, mask: str) -> str:
    """The arithmetic of `gatewise.training.network.ngrams`, time first."""
    table: NgramTable = layer.table
    idf = np.array(layer.idf.numpy())
    weights = add_char_ngrams(model, "ngram_spelling", layer.weights_table.numpy())
    weights = weights * idf[:, None]
    # Padding has row 0, which is zero.
    weights[0] = idf[0] = 0.0
    rows = _unique_rows(graph, table, ids, mask)
    gathered = graph.add("Gather", graph.constant("ngrams.weight", weights), rows)
    total = graph.add("ReduceSum", gathered, graph.integers(0), keepdims=0)
    idfs = graph.add("Gather", graph.constant("ngrams.idf", idf), rows)
    squares = graph.add("ReduceSum", graph.add("Mul", idfs, idfs), graph.integers(0), keepdims=0)
    min_norm = graph.constant("ngrams.shortest", MIN_NORM)
    norm = graph.add("Max", graph.add("Sqrt", squares), min_norm)
    scale = graph.add("Div", graph.constant("ngrams.scale", SCALE), norm)
    total = graph.add("Mul", total, graph.add("Unsqueeze", scale, graph.integers(1)))
    if layer.kernel is not None:
        total = graph.add("MatMul", total, graph.constant("ngrams.kernel", layer.kernel.numpy()))
    return total


def _unique_rows(graph: Graph, table: NgramTable, ids: str, mask: str) -> str:
    """The rows of `NgramRows`, int64 `(lengths x tokens, batch)`."""
    ids = graph.add("Mul", ids, mask)
    by_length = [graph.add("Mul", rows, mask) for rows in _ngram_rows(graph, table, ids)]
    joined = by_length[0] if len(by_length) == 1 else graph.add("Concat", *by_length, axis=0)
    count = graph.add(
        "Slice", graph.add("Shape", joined), graph.integers(0), graph.integers(1), graph.integers(0)
    )
    ordered = graph.add("TopK", joined, count, outputs=2, axis=0)
    before = graph.add("Slice", ordered, graph.integers(0), graph.integers(-1), graph.integers(0))
    before = graph.add("Pad", before, graph.integers(1, 0, 0, 0))
    zero = graph.integers(0)
    return graph.add("Where", graph.add("Equal", ordered, before), zero, ordered)


def _ngram_rows(graph: Graph, table: NgramTable, ids: str) -> list[str]:
    """The table rows of the n-grams at each position, int64 `(tokens, batch)` for each length."""
    longest = table.lengths[-1]
    rows = [ids] if 1 in table.lengths else []
    if longest == 1:
        return rows
    padded = graph.add("Pad", ids, graph.integers(0, 0, longest - 1, 0))
    total = graph.add("Mul", ids, graph.integers(MULTIPLIERS[0]))
    for offset in range(1, longest):
        end = offset - longest + 1 or _TO_END
        window = graph.add(
            "Slice", padded, graph.integers(offset), graph.integers(end), graph.integers(0)
        )
        term = graph.add("Mul", window, graph.integers(MULTIPLIERS[offset]))
        # The hash of an n-gram is that of the shorter one that begins it, plus one term.
        total = graph.add("Add", total, term)
        if (length := offset + 1) in table.lengths:
            bucket = graph.add("Mod", total, graph.integers(table.buckets))
            rows.append(graph.add("Add", bucket, graph.integers(table.offset(length))))
    return rows
