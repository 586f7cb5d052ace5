"""Keras to ONNX, directly: the network as a handful of plain ONNX operators.

Each recurrent layer becomes one fused GRU, LSTM or RNN operator with `sequence_lens`, so that
nothing is spent on a loop and the backward direction starts at each text's own last token.
Sums over time run along the first axis, step by step: padding at the end adds exact zeros, and a
text's logits are the same bits whatever stands beside it.

Gate order and biases follow the operator definitions (https://onnx.ai/onnx/operators/): ONNX has
z, r, h for GRU, as Keras, and i, o, f, c for LSTM, where Keras has i, f, c, o. Knows neither files
nor the tokenizer.
"""

from dataclasses import dataclass, field

import keras
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from training.ngrams import MULTIPLIERS, SCALE, NgramLogits, NgramTable
from training.settings.network import NetworkConfig

OPSET = 17
"""The ONNX opset written: the newest that onnxruntime has read since version 1.12."""

Array = NDArray[np.generic]

_IR_VERSION = 8
_OPERATORS = {"gru": "GRU", "lstm": "LSTM", "rnn": "RNN"}
_DIRECTIONS = {"forward": "forward", "backward": "reverse", "bidirectional": "bidirectional"}
_LAST = np.iinfo(np.int64).max  # "to the end" of a Slice


@dataclass
class _Graph:
    """Nodes and constants in the making; every method returns the name of its result."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: object) -> str:
        name = f"{operator.lower()}_{len(self.nodes)}"
        results = [name if index == 0 else f"{name}_{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, results, name=name, **attributes))
        return name

    def constant(self, name: str, value: object, dtype: type = np.float32) -> str:
        self.constants[name] = np.ascontiguousarray(value, dtype=dtype)
        return name

    def integers(self, *values: int) -> str:
        return self.constant("int_" + "_".join(map(str, values)), values, np.int64)


def lower(model: keras.Model, config: NetworkConfig) -> onnx.ModelProto:
    """Writes a trained network as ONNX.

    Inputs `input_ids` and `attention_mask`, int64 `(batch, sequence)`; output `logits`, float32
    `(batch, classes)`. Dropout is left out: it does nothing outside training.

    Args:
        model: From `training.network.build`.
        config: The config that it was built with.
    """
    graph = _Graph()
    # Time comes first inside the graph, as onnxruntime's recurrent operators want it.
    ids = graph.add("Transpose", "input_ids", perm=[1, 0])
    mask = graph.add("Transpose", "attention_mask", perm=[1, 0])
    length = graph.add("ReduceSum", mask, graph.integers(0), keepdims=0)
    features = _recurrent_features(graph, model, config, ids, mask, length)
    kernel, bias = model.get_layer("classifier").get_weights()
    logits = graph.add(
        "Gemm",
        features,
        graph.constant("classifier.weight", kernel),
        graph.constant("classifier.bias", bias),
    )
    linear = [layer for layer in model.layers if isinstance(layer, NgramLogits)]
    if linear:
        logits = graph.add("Add", logits, _ngram_logits(graph, linear[0], ids, mask, length))
    graph.nodes.append(helper.make_node("Identity", [logits], ["logits"], name="logits"))
    return _model(graph, classes=len(bias))


def operators(model: onnx.ModelProto) -> tuple[str, ...]:
    """The operator types of a model, sorted."""
    return tuple(sorted({node.op_type for node in model.graph.node}))


def _recurrent_features(
    graph: _Graph, model: keras.Model, config: NetworkConfig, ids: str, mask: str, length: str
) -> str:
    """From ids `(tokens, batch)` to the read-out, `(batch, features)`."""
    (table,) = model.get_layer("embedding").get_weights()
    states = graph.add("Gather", graph.constant("embedding.weight", table), ids)
    lengths = graph.add("Cast", length, to=TensorProto.INT32)
    directions = 2 if config.direction == "bidirectional" else 1
    for number in range(config.layers):
        if number:
            # (tokens, directions, batch, units) -> (tokens, batch, directions x units)
            states = graph.add("Transpose", states, perm=[0, 2, 1, 3])
            states = graph.add("Reshape", states, graph.integers(0, 0, -1))
        layer = model.get_layer(f"recurrent_{number}")
        weights = [
            graph.constant(f"recurrent_{number}.{name}", value)
            for name, value in _recurrent_weights(layer.get_weights(), config, directions).items()
        ]
        attributes = (
            {"linear_before_reset": int(config.reset_after)} if config.cell == "gru" else {}
        )
        states = graph.add(
            _OPERATORS[config.cell],
            states,
            *weights,
            lengths,
            outputs=2,
            direction=_DIRECTIONS[config.direction],
            hidden_size=config.units,
            **attributes,
        )
    if config.readout == "last":
        summary = f"{states}_1"  # Y_h: each direction's last state, (directions, batch, units)
    else:
        summary = _pooled(graph, config, states, mask, length)
    summary = graph.add("Transpose", summary, perm=[1, 0, 2])
    return graph.add("Reshape", summary, graph.integers(0, -1))


def _pooled(graph: _Graph, config: NetworkConfig, states: str, mask: str, length: str) -> str:
    """States `(tokens, directions, batch, units)` to `(parts, batch, units)`, maxima first."""
    is_token = graph.add("Cast", mask, to=TensorProto.BOOL)
    is_token = graph.add("Unsqueeze", is_token, graph.integers(1, 3))
    parts = []
    if config.readout in ("max", "max_mean"):
        # States lie in [-1, 1], so a padded step at -2 is never the maximum.
        kept = graph.add("Where", is_token, states, graph.constant("below_states", -2.0))
        parts.append(graph.add("ReduceMax", kept, axes=[0], keepdims=0))
    if config.readout in ("mean", "max_mean"):
        # onnxruntime leaves zeros at padded steps, but the operator's definition does not say so.
        kept = graph.add("Where", is_token, states, graph.constant("zero", 0.0))
        total = graph.add("ReduceSum", kept, graph.integers(0), keepdims=0)
        divisor = graph.add("Cast", length, to=TensorProto.FLOAT)
        divisor = graph.add("Unsqueeze", divisor, graph.integers(0, 2))
        parts.append(graph.add("Div", total, divisor))
    return parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=0)


def _recurrent_weights(
    weights: list[Array], config: NetworkConfig, directions: int
) -> dict[str, Array]:
    """Keras's kernel, recurrent kernel and bias of each direction as ONNX's W, R and B.

    W: `(directions, gates x units, features)`; R: `(directions, gates x units, units)`; B:
    `(directions, 2 x gates x units)`, the input's biases and then the recurrent ones.
    """
    stacked: dict[str, list[Array]] = {"W": [], "R": [], "B": []}
    for direction in range(directions):
        kernel, recurrent, bias = weights[3 * direction : 3 * direction + 3]
        if bias.ndim == 1:  # all but a GRU with reset_after have one bias
            bias = np.stack([bias, np.zeros_like(bias)])
        stacked["W"].append(_gates(kernel, config).T)
        stacked["R"].append(_gates(recurrent, config).T)
        stacked["B"].append(_gates(bias, config).reshape(-1))
    return {name: np.stack(parts) for name, parts in stacked.items()}


def _gates(matrix: Array, config: NetworkConfig) -> Array:
    """Puts the gates, side by side in the last axis, into ONNX's order."""
    if config.cell != "lstm":
        return matrix
    inputs, forget, candidate, output = np.split(matrix, 4, axis=-1)
    return np.concatenate([inputs, output, forget, candidate], axis=-1)


def _ngram_logits(graph: _Graph, layer: NgramLogits, ids: str, mask: str, length: str) -> str:
    """The arithmetic of `training.ngrams.NgramLogits`, time first."""
    table: NgramTable = layer.table
    (weights,) = layer.get_weights()
    ids = graph.add("Mul", ids, mask)
    rows = [_ngram_rows(graph, table, size, ids) for size in table.lengths]
    # A padded place counts nothing: it is sent to row 0, the padding token's, which holds zeros.
    rows = [graph.add("Mul", places, mask) for places in rows]
    weights[0] = 0.0
    joined = rows[0] if len(rows) == 1 else graph.add("Concat", *rows, axis=0)
    gathered = graph.add("Gather", graph.constant("ngrams.weight", weights), joined)
    total = graph.add("ReduceSum", gathered, graph.integers(0), keepdims=0)
    root = graph.add("Sqrt", graph.add("Cast", length, to=TensorProto.FLOAT))
    scale = graph.add("Div", graph.constant("ngrams.scale", SCALE), root)
    return graph.add("Mul", total, graph.add("Unsqueeze", scale, graph.integers(1)))


def _ngram_rows(graph: _Graph, table: NgramTable, size: int, ids: str) -> str:
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


def _model(graph: _Graph, classes: int) -> onnx.ModelProto:
    def value(name: str, kind: int, *shape: str | int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, shape)

    proto = helper.make_graph(
        graph.nodes,
        "gatewise",
        inputs=[
            value("input_ids", TensorProto.INT64, "batch", "sequence"),
            value("attention_mask", TensorProto.INT64, "batch", "sequence"),
        ],
        outputs=[value("logits", TensorProto.FLOAT, "batch", classes)],
        initializer=[
            numpy_helper.from_array(array, name) for name, array in graph.constants.items()
        ],
    )
    model = helper.make_model(
        proto,
        producer_name="gatewise",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
    )
    onnx.checker.check_model(model, full_check=True)
    return model
