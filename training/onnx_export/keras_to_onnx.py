"""Keras to ONNX, directly: the network as a handful of plain ONNX operators.

Each recurrent layer becomes one fused GRU, LSTM or RNN operator with `sequence_lens`, so that
nothing is spent on a loop and the backward direction starts at each text's own last token.
Sums over time run along the first axis, step by step: padding at the end adds exact zeros, and a
text's logits are the same bits whatever stands beside it.

A one-hot input is a Gather too: of the first layer's kernel, whose row for a token is the inputs
of the gates. The operators multiply by a kernel in any case, so they are given the identity, with
which they pass those inputs on exactly; each direction then is an operator of its own.

What a token's spelling adds to its vector and to its weights is added once, here.

Gate order and biases follow the operator definitions (https://onnx.ai/onnx/operators/): ONNX has
z, r, h for GRU, as Keras, and i, o, f, c for LSTM, where Keras has i, f, c, o. Knows neither files
nor the tokenizer.
"""

import keras
import numpy as np
import onnx
from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.network.char_ngram_embedding import CharNgramEmbedding
from gatewise.training.network.ngrams import MULTIPLIERS, SCALE, SHORTEST, NgramLogits
from gatewise.training.network.shape import NgramTable
from gatewise.training.onnx_export.graph_builder import Array, Graph
from gatewise.training.onnx_export.pooling import summary
from onnx import TensorProto

OPERATORS = {"gru": "GRU", "lstm": "LSTM", "rnn": "RNN"}
"""The operator of each cell."""

_DIRECTIONS = {
    "forward": ("forward",),
    "backward": ("reverse",),
    "bidirectional": ("forward", "reverse"),
}
_LAST = np.iinfo(np.int64).max  # "to the end" of a Slice


def to_onnx(model: keras.Model, config: NetworkConfig) -> onnx.ModelProto:
    """Writes a trained network as ONNX.

    Inputs `input_ids` and `attention_mask`, int64 `(batch, sequence)`; output `logits`, float32
    `(batch, classes)`. Dropout is left out: it does nothing outside training.

    Args:
        model: From `gatewise.training.network.build.build`.
        config: The config that it was built with.
    """
    graph = Graph()
    # Time comes first inside the graph, as onnxruntime's recurrent operators want it.
    ids = graph.add("Transpose", "input_ids", perm=[1, 0])
    mask = graph.add("Transpose", "attention_mask", perm=[1, 0])
    length = graph.add("ReduceSum", mask, graph.integers(0), keepdims=0)
    states = _states(graph, model, config, ids, length)
    features = summary(graph, model, config.readout, states, mask, length)
    kernel, bias = model.get_layer("classifier").get_weights()
    logits = graph.add(
        "Gemm",
        features,
        graph.constant("classifier.weight", kernel),
        graph.constant("classifier.bias", bias),
    )
    linear = [layer for layer in model.layers if isinstance(layer, NgramLogits)]
    if linear:
        logits = graph.add("Add", logits, _ngram_logits(graph, model, linear[0], ids, mask))
    return graph.model(logits, classes=len(bias))


def operators(*models: onnx.ModelProto) -> tuple[str, ...]:
    """The operator types of models, sorted."""
    return tuple(sorted({node.op_type for model in models for node in model.graph.node}))


def _states(
    graph: Graph, model: keras.Model, config: NetworkConfig, ids: str, length: str
) -> tuple[str, str]:
    """From ids `(tokens, batch)` to what the last recurrent layer returns.

    Returns:
        Every state, `(tokens, directions, batch, units)`, and the last, `(directions, batch,
        units)`.
    """
    lengths = graph.add("Cast", length, to=TensorProto.INT32)
    inputs = ""
    if config.input == "embedding":
        (table,) = model.get_layer("embedding").get_weights()
        table = _with_spelling(model, "spelling", table)
        inputs = graph.add("Gather", graph.constant("embedding.weight", table), ids)
    states = last = ""
    for number in range(config.layers):
        if number:
            # (tokens, directions, batch, units) -> (tokens, batch, directions x units)
            inputs = graph.add("Transpose", states, perm=[0, 2, 1, 3])
            inputs = graph.add("Reshape", inputs, graph.integers(0, 0, -1))
        name = f"recurrent_{number}"
        weights = _directions(model.get_layer(name).get_weights(), config)
        if inputs:
            names = _constants(graph, name, weights)
            states, last = _operator(graph, config, inputs, names, lengths)
        else:
            states, last = _on_ids(graph, name, config, ids, weights, lengths)
    return states, last


def _on_ids(
    graph: Graph,
    name: str,
    config: NetworkConfig,
    ids: str,
    weights: dict[str, list[Array]],
    lengths: str,
) -> tuple[str, str]:
    """The first layer over one-hot tokens: its kernels' rows, gathered."""
    results = []
    for number, way in enumerate(_DIRECTIONS[config.direction]):
        kernel, recurrent, bias = (weights[part][number] for part in "WRB")
        prefix = f"{name}.{way}"
        inputs = graph.add("Gather", graph.constant(f"{prefix}.rows", kernel.T), ids)
        rest = {"R": [recurrent], "B": [bias]}
        names = {"W": identity(graph, len(kernel)), **_constants(graph, prefix, rest)}
        results.append(_operator(graph, config, inputs, names, lengths, (way,)))
    if len(results) == 1:
        return results[0]
    states, last = zip(*results, strict=True)
    return graph.add("Concat", *states, axis=1), graph.add("Concat", *last, axis=0)


def identity(graph: Graph, size: int) -> str:
    """The identity, `(1, size, size)`, from two rows of numbers: runtimes compute it once.

    Args:
        graph: Where the nodes go.
        size: Its rows.
    """
    numbers = graph.constant("numbers", np.arange(size), np.int64)
    columns = graph.add("Unsqueeze", numbers, graph.integers(1))
    same = graph.add("Cast", graph.add("Equal", columns, numbers), to=TensorProto.FLOAT)
    return graph.add("Unsqueeze", same, graph.integers(0))


def _constants(graph: Graph, name: str, weights: dict[str, list[Array]]) -> dict[str, str]:
    """Weights of a recurrent operator as constants, the directions one after another."""
    return {
        part: graph.constant(f"{name}.{part}", np.stack(each)) for part, each in weights.items()
    }


def _operator(
    graph: Graph,
    config: NetworkConfig,
    inputs: str,
    weights: dict[str, str],
    lengths: str,
    ways: tuple[str, ...] = (),
) -> tuple[str, str]:
    ways = ways or _DIRECTIONS[config.direction]
    attributes = {"linear_before_reset": int(config.reset_after)} if config.cell == "gru" else {}
    states = graph.add(
        OPERATORS[config.cell],
        inputs,
        *(weights[part] for part in "WRB"),
        lengths,
        outputs=2,
        direction=ways[0] if len(ways) == 1 else "bidirectional",
        hidden_size=config.units,
        **attributes,
    )
    return states, f"{states}_1"


def _directions(weights: list[Array], config: NetworkConfig) -> dict[str, list[Array]]:
    """Keras's kernel, recurrent kernel and bias as ONNX's W, R and B, for each direction.

    W: `(gates x units, features)`; R: `(gates x units, units)`; B: `(2 x gates x units,)`, the
    input's biases and then the recurrent ones.
    """
    parts: dict[str, list[Array]] = {"W": [], "R": [], "B": []}
    for start in range(0, len(weights), 3):
        kernel, recurrent, bias = weights[start : start + 3]
        if bias.ndim == 1:  # all but a GRU with reset_after have one bias
            bias = np.stack([bias, np.zeros_like(bias)])
        parts["W"].append(_gates(kernel, config).T)
        parts["R"].append(_gates(recurrent, config).T)
        parts["B"].append(_gates(bias, config).reshape(-1))
    return parts


def _gates(matrix: Array, config: NetworkConfig) -> Array:
    """Puts the gates, side by side in the last axis, into ONNX's order."""
    if config.cell != "lstm":
        return matrix
    inputs, forget, candidate, output = np.split(matrix, 4, axis=-1)
    return np.concatenate([inputs, output, forget, candidate], axis=-1)


def _with_spelling(model: keras.Model, name: str, table: Array) -> Array:
    """A table whose first rows are tokens, with what a layer adds to each of them."""
    for layer in model.layers:
        if isinstance(layer, CharNgramEmbedding) and layer.name == name:
            added = layer.of_all()
            rows = [np.add(table[: len(added)], added), table[len(added) :]]
            table = np.concatenate(rows)
    return table


def _ngram_logits(graph: Graph, model: keras.Model, layer: NgramLogits, ids: str, mask: str) -> str:
    """The arithmetic of `gatewise.training.network.ngrams`, time first."""
    table: NgramTable = layer.table
    idf = np.array(layer.idf.numpy())
    weights = _with_spelling(model, "ngram_spelling", layer.weights_table.numpy())
    weights = weights * idf[:, None]
    # A padded place counts nothing: it is sent to row 0, the padding token's, which holds zeros.
    weights[0] = idf[0] = 0.0
    rows = _each_once(graph, table, ids, mask)
    gathered = graph.add("Gather", graph.constant("ngrams.weight", weights), rows)
    total = graph.add("ReduceSum", gathered, graph.integers(0), keepdims=0)
    parts = graph.add("Gather", graph.constant("ngrams.idf", idf), rows)
    squares = graph.add("ReduceSum", graph.add("Mul", parts, parts), graph.integers(0), keepdims=0)
    shortest = graph.constant("ngrams.shortest", SHORTEST)
    length = graph.add("Max", graph.add("Sqrt", squares), shortest)
    scale = graph.add("Div", graph.constant("ngrams.scale", SCALE), length)
    total = graph.add("Mul", total, graph.add("Unsqueeze", scale, graph.integers(1)))
    if layer.kernel is not None:
        total = graph.add("MatMul", total, graph.constant("ngrams.kernel", layer.kernel.numpy()))
    return total


def _each_once(graph: Graph, table: NgramTable, ids: str, mask: str) -> str:
    """The rows of `NgramRows`, int64 `(lengths x tokens, batch)`."""
    ids = graph.add("Mul", ids, mask)
    places = [_ngram_rows(graph, table, size, ids) for size in table.lengths]
    places = [graph.add("Mul", rows, mask) for rows in places]
    joined = places[0] if len(places) == 1 else graph.add("Concat", *places, axis=0)
    count = graph.add(
        "Slice", graph.add("Shape", joined), graph.integers(0), graph.integers(1), graph.integers(0)
    )
    ordered = graph.add("TopK", joined, count, outputs=2, axis=0)
    before = graph.add("Slice", ordered, graph.integers(0), graph.integers(-1), graph.integers(0))
    before = graph.add("Pad", before, graph.integers(1, 0, 0, 0))
    zero = graph.integers(0)
    return graph.add("Where", graph.add("Equal", ordered, before), zero, ordered)


def _ngram_rows(graph: Graph, table: NgramTable, size: int, ids: str) -> str:
    """The table's row of the n-gram at each place, int64 `(tokens, batch)`."""
    if size == 1:
        return ids
    padded = graph.add("Pad", ids, graph.integers(0, 0, size - 1, 0))
    terms = []
    for place in range(size):
        end = place - size + 1 or _LAST
        window = graph.add(
            "Slice", padded, graph.integers(place), graph.integers(end), graph.integers(0)
        )
        terms.append(graph.add("Mul", window, graph.integers(MULTIPLIERS[place])))
    total = terms[0]
    for term in terms[1:]:
        total = graph.add("Add", total, term)
    bucket = graph.add("Mod", total, graph.integers(table.buckets))
    return graph.add("Add", bucket, graph.integers(table.offset(size)))
