"""Pooling in ONNX: from the states of a text to one vector.

Sums run over the first axis, which is time, and padding is replaced by exact zeros, so that neither
padding nor the other texts of a batch change a bit of a text's vector. Maxima are exact in any
order.
"""

import keras
import numpy as np
from onnx import TensorProto

from gatewise.training.config.network_section import Readout
from gatewise.training.onnx_export.graph_builder import Graph


def pool(
    graph: Graph,
    model: keras.Model,
    readout: Readout,
    states: tuple[str, str],
    mask: str,
    length: str,
) -> str:
    """The vector of each text, `(batch, features)`.

    Args:
        graph: The graph to add to.
        model: From `gatewise.training.network.build.build`.
        readout: The setting `network.readout`.
        states: Every state, `(tokens, directions, batch, units)`, and the last, `(directions,
            batch, units)`.
        mask: 1 at tokens and 0 at padding, `(tokens, batch)`.
        length: Number of tokens of each text, `(batch,)`.
    """
    all_states, last = states
    if readout == "last":
        vectors = last
    else:
        is_token = graph.add("Cast", mask, to=TensorProto.BOOL)
        if readout == "attention":
            vectors = _attention(graph, model, all_states, is_token)
        else:
            vectors = _max_and_mean(graph, readout, all_states, is_token, length)
    # (parts, batch, units) -> (batch, parts x units)
    vectors = graph.add("Transpose", vectors, perm=[1, 0, 2])
    return graph.add("Reshape", vectors, graph.integers(0, -1))


def _max_and_mean(graph: Graph, readout: Readout, states: str, is_token: str, length: str) -> str:
    """Maximum and mean, `(parts, batch, units)`, maxima first."""
    is_token = graph.add("Unsqueeze", is_token, graph.integers(1, 3))
    parts = []
    # Adding 0 and multiplying by 1 are exact, and faster over all states than Where.
    if readout in ("max", "max_mean"):
        # States lie in [-1, 1], so a padded step, four below them, is never the maximum.
        zero, lowest = graph.constant("zero", 0.0), graph.constant("below_states", -4.0)
        below = graph.add("Where", is_token, zero, lowest)
        kept = graph.add("Add", states, below)
        parts.append(graph.add("ReduceMax", kept, axes=[0], keepdims=0))
    if readout in ("mean", "max_mean"):
        # onnxruntime leaves zeros at padded steps, but the operator's definition does not say so.
        kept = graph.add("Mul", states, graph.add("Cast", is_token, to=TensorProto.FLOAT))
        total = graph.add("ReduceSum", kept, graph.integers(0), keepdims=0)
        divisor = graph.add("Cast", length, to=TensorProto.FLOAT)
        divisor = graph.add("Unsqueeze", divisor, graph.integers(0, 2))
        parts.append(graph.add("Div", total, divisor))
    return parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=0)


def _attention(graph: Graph, model: keras.Model, states: str, is_token: str) -> str:
    """The arithmetic of `AttentionPooling`, `(directions, batch, units)`."""
    # Padded with zero units to a multiple of the SIMD width. Otherwise onnxruntime, which may move
    # the axes back, sums in an order that depends on the row.
    kernel, bias, context = (
        np.pad(weights, [(0, 0)] * (weights.ndim - 1) + [(0, -weights.shape[-1] % 16)])
        for weights in model.get_layer("readout").get_weights()
    )
    # (tokens, directions, batch, units) -> (tokens, batch, directions x units)
    features = graph.add("Transpose", states, perm=[0, 2, 1, 3])
    features = graph.add("Reshape", features, graph.integers(0, 0, -1))
    hidden = graph.add("MatMul", features, graph.constant("readout.weight", kernel))
    hidden = graph.add("Add", hidden, graph.constant("readout.bias", bias))
    hidden = graph.add("Tanh", hidden)
    # A score is a sum over units: along the first axis, so that it has the same bits in any batch.
    hidden = graph.add("Transpose", hidden, perm=[2, 0, 1])
    weighted = graph.add(
        "Mul", hidden, graph.constant("readout.context", context.reshape(-1, 1, 1))
    )
    scores = graph.add("ReduceSum", weighted, graph.integers(0), keepdims=0)

    # Padding has a score that no token can reach, and is left out of the sums.
    known = graph.add("Where", is_token, scores, graph.constant("below_scores", -1e30))
    highest = graph.add("ReduceMax", known, axes=[0], keepdims=1)
    attention = graph.add("Exp", graph.add("Sub", known, highest))
    zero = graph.constant("zero", 0.0)
    attention = graph.add("Where", is_token, attention, zero)
    total = graph.add("ReduceSum", attention, graph.integers(0), keepdims=1)
    attention = graph.add("Unsqueeze", graph.add("Div", attention, total), graph.integers(1, 3))
    masked = graph.add(
        "Where", graph.add("Unsqueeze", is_token, graph.integers(1, 3)), states, zero
    )
    return graph.add(
        "ReduceSum", graph.add("Mul", masked, attention), graph.integers(0), keepdims=0
    )
