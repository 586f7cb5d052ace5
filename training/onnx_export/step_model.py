"""The step model in ONNX: one token or vector and a state in, logits and a new state out.

Requires a network that reads forward. It is built from the constants of the exported network, so it
includes the temperature, the path weights and the character n-grams, and after a text's last token
its logits are those of that network.

All states are zeros before [CLS], or before the first vector of a sequence of numbers. Pooling
needs running values of the states: their maximum, their sum, or for attention their sum weighted by
an online softmax (Milakov and Gimelshein 2018, "Online normalizer calculation for softmax"). An
n-gram counts once in a text, and those that begin in the last tokens change with the next token, so
the linear path's state is the sum over the complete n-grams, their rows, and the last tokens. The
rows have room for a text of maximum length, so that the work for a token does not depend on the
text before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from gatewise.service.model.linear_path import MIN_NORM, MULTIPLIERS, SCALE
from gatewise.service.model.onnx_validation.onnx_parser import BATCH
from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.data.feature_scale import FeatureScale
from gatewise.training.network.shape import NgramTable
from gatewise.training.onnx_export.graph_builder import (
    DEVIATION,
    MEAN,
    Array,
    CarriedState,
    Graph,
)
from gatewise.training.onnx_export.keras_to_onnx import OPERATORS, identity, standardized
from gatewise.vocab.tokenizer.encoding import INPUT_IDS, INPUT_VALUES

_NO_MODULUS = 2**52
"""A modulus that leaves an id unchanged."""


def build_step_model(
    network: onnx.ModelProto,
    config: NetworkConfig,
    table: NgramTable | None,
    max_length: int,
) -> onnx.ModelProto:
    """Builds the model that reads one token of each text at a time.

    Inputs: `input_ids`, int64 `(batch,)`, and states, which are zeros at first. Outputs:
    `logits`, float32 `(batch, classes)`, and for each `state.x` a `next.x` of the same shape. In
    place of ids a network of sequences takes `input_values`, float32 `(batch, features)`.

    Args:
        network: From `gatewise.training.onnx_export.keras_to_onnx`; must read forward.
        config: The settings that it was built with.
        table: The layout of its n-gram table; None if it has no n-grams.
        max_length: Maximum tokens of a text.
    """
    constants = {each.name: numpy_helper.to_array(each) for each in network.graph.initializer}
    builder = _StepBuilder(constants, config)
    logits = builder.recurrent_logits()
    if table is not None:
        logits = builder.graph.add("Add", logits, builder.ngram_logits(table, max_length))
    classes = len(constants["classifier.bias"])
    features = len(builder.scale.mean) if builder.scale else 0
    return builder.graph.step_model(logits, classes, builder.states, features)


@dataclass
class _StepBuilder:
    """The graph under construction, and its states."""

    constants: Mapping[str, Array]
    config: NetworkConfig
    graph: Graph = field(default_factory=Graph)
    states: list[CarriedState] = field(default_factory=list)

    @property
    def scale(self) -> FeatureScale | None:
        """How numbers are standardized; None for texts."""
        if MEAN not in self.constants:
            return None
        return FeatureScale(
            *(np.asarray(self.constants[name], np.float32) for name in (MEAN, DEVIATION))
        )

    def constant(self, name: str) -> str:
        """Copies a constant of the exported network."""
        value = self.constants[name]
        return self.graph.constant(name, value, value.dtype.type)

    def state(self, name: str, *shape: int | str, dtype: int = TensorProto.FLOAT) -> CarriedState:
        """Adds a state."""
        state = CarriedState(name, shape, dtype)
        self.states.append(state)
        return state

    def recurrent_logits(self) -> str:
        """Token, or vector, to the logits of the recurrent path."""
        graph = self.graph
        one_each, ids, inputs = INPUT_IDS, "", ""
        # Time comes first, as in the exported network: a single step.
        if self.scale:
            numbers = standardized(graph, INPUT_VALUES, self.scale)  # none is NaN any more
            one_each = graph.add("ReduceMax", numbers, axes=[1], keepdims=0)
            inputs = graph.add("Unsqueeze", numbers, graph.integers(0))
        else:
            ids = graph.add("Unsqueeze", INPUT_IDS, graph.integers(0))
        same = graph.add("Equal", one_each, one_each)
        lengths = graph.add("Cast", same, to=TensorProto.INT32)  # a one for each text
        if "embedding.weight" in self.constants:
            inputs = graph.add("Gather", self.constant("embedding.weight"), ids)
        for number in range(self.config.layers):
            name = f"recurrent_{number}"
            if inputs:
                weights = [self.constant(f"{name}.{part}") for part in "WRB"]
            else:
                name = f"{name}.forward"
                inputs = graph.add("Gather", self.constant(f"{name}.rows"), ids)
                size = self.constants[f"{name}.rows"].shape[1]
                rest = [self.constant(f"{name}.{part}") for part in "RB"]
                weights = [identity(graph, size), *rest]
            inputs = self._layer(number, inputs, weights, lengths)
        features = graph.add("Reshape", self._pool(inputs), graph.integers(0, -1))
        names = self.constant("classifier.weight"), self.constant("classifier.bias")
        return graph.add("Gemm", features, *names)

    def _layer(self, number: int, inputs: str, weights: list[str], lengths: str) -> str:
        """A recurrent layer's state after the token, `(1, batch, units)`."""
        cell = self.config.cell
        before = [self.state(f"hidden_{number}", 1, BATCH, self.config.units)]
        if cell == "lstm":
            before.append(self.state(f"cell_{number}", 1, BATCH, self.config.units))
        attributes = {"linear_before_reset": int(self.config.reset_after)} if cell == "gru" else {}
        every = self.graph.add(
            OPERATORS[cell],
            inputs,
            *weights,
            lengths,
            *(state.before for state in before),
            outputs=1 + len(before),
            direction="forward",
            hidden_size=self.config.units,
            **attributes,
        )
        for place, state in enumerate(before, start=1):
            state.after = f"{every}_{place}"
        return before[0].after

    def _pool(self, now: str) -> str:
        """The pooled states up to this one, `(batch, parts, units)`."""
        graph, readout = self.graph, self.config.readout
        parts = [now]
        if readout != "last":
            count = self.state("count", 1, BATCH, 1)
            first = graph.add("Equal", count.before, graph.constant("zero", 0.0))
            count.after = graph.add("Add", count.before, graph.constant("one", 1.0))
            if readout == "attention":
                parts = [self._attention(now, first)]
            if readout in ("max", "max_mean"):
                highest = self.state("maximum", 1, BATCH, self.config.units)
                higher = graph.add("Max", highest.before, now)
                highest.after = graph.add("Where", first, now, higher)
                parts = [highest.after]
            if readout in ("mean", "max_mean"):
                total = self.state("sum", 1, BATCH, self.config.units)
                total.after = graph.add("Add", total.before, now)
                mean = graph.add("Div", total.after, count.after)
                parts = [*parts, mean] if readout == "max_mean" else [mean]
        vectors = parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=0)
        return graph.add("Transpose", vectors, perm=[1, 0, 2])

    def _attention(self, now: str, first: str) -> str:
        """One step of the attention of `onnx_export.pooling`, `(1, batch, units)`."""
        graph = self.graph
        hidden = graph.add("MatMul", now, self.constant("readout.weight"))
        hidden = graph.add("Tanh", graph.add("Add", hidden, self.constant("readout.bias")))
        context = graph.constant("readout.context", self.constants["readout.context"].reshape(-1))
        weighted = graph.add("Mul", hidden, context)
        score = graph.add("ReduceSum", weighted, graph.integers(2), keepdims=1)

        highest = self.state("highest", 1, BATCH, 1)
        # The first token has no highest score before it; with zero instead, exp could underflow.
        known = graph.add("Where", first, score, highest.before)
        highest.after = graph.add("Max", known, score)
        weight = graph.add("Exp", graph.add("Sub", score, highest.after))
        rescale = graph.add("Exp", graph.add("Sub", known, highest.after))
        weights = self.state("shares", 1, BATCH, 1)
        weights.after = graph.add("Add", graph.add("Mul", weights.before, rescale), weight)
        total = self.state("attended", 1, BATCH, self.config.units)
        rescaled = graph.add("Mul", total.before, rescale)
        total.after = graph.add("Add", rescaled, graph.add("Mul", now, weight))
        return graph.add("Div", total.after, weights.after)

    def ngram_logits(self, table: NgramTable, max_length: int) -> str:
        """The logits of the linear path, from complete n-grams and those that padding would end."""
        graph, lengths = self.graph, table.lengths
        rows = self._new_rows(table, max_length)
        # A row's weights and its squared IDF, the terms of the sum and of the squared norm.
        weights, idf = self.constants["ngrams.weight"], self.constants["ngrams.idf"]
        terms = np.concatenate([weights, np.square(idf)[:, None]], axis=1)
        gathered = graph.add("Gather", graph.constant("ngrams.table", terms), rows)
        total = self.state("ngrams", BATCH, terms.shape[1])
        complete = self._columns(gathered, 0, len(lengths))
        added = graph.add("ReduceSum", complete, graph.integers(1), keepdims=0)
        total.after = sums = graph.add("Add", total.before, added)
        if lengths[-1] > 1:
            incomplete = self._columns(gathered, len(lengths), sum(lengths))
            added = graph.add("ReduceSum", incomplete, graph.integers(1), keepdims=0)
            sums = graph.add("Add", sums, added)
        summed = self._columns(sums, 0, weights.shape[1])
        squares = self._columns(sums, weights.shape[1], terms.shape[1])
        min_norm = graph.constant("ngrams.shortest", MIN_NORM)
        norm = graph.add("Max", graph.add("Sqrt", squares), min_norm)
        scale = graph.add("Div", graph.constant("ngrams.scale", SCALE), norm)
        logits = graph.add("Mul", summed, scale)
        if "ngrams.kernel" in self.constants:
            logits = graph.add("MatMul", logits, self.constant("ngrams.kernel"))
        return logits

    def _new_rows(self, table: NgramTable, max_length: int) -> str:
        """The rows of the n-grams with this token that are new in the text, 0 for the others.

        int64 `(batch, n-grams)`: first those of each length that end here, which are complete,
        then those that begin in the last tokens and end in the padding.
        """
        graph, complete = self.graph, len(table.lengths)
        rows = self._rows(table)
        seen = self.state("seen", BATCH, max_length * complete, dtype=TensorProto.INT64)
        column = graph.add("Unsqueeze", rows, graph.integers(2))
        row = graph.add("Unsqueeze", rows, graph.integers(1))
        count = sum(table.lengths)
        below = graph.constant("below", np.tri(count, k=-1), np.int64)
        earlier = graph.add("Equal", column, graph.add("Mul", row, below))
        before = graph.add("Unsqueeze", seen.before, graph.integers(1))
        known = graph.add("Concat", graph.add("Equal", column, before), earlier, axis=2)
        known = graph.add("Cast", known, to=TensorProto.FLOAT)
        known = graph.add("ReduceMax", known, axes=[2], keepdims=0)
        new = graph.add("Sub", graph.constant("one", 1.0), known)
        new_rows = graph.add("Mul", rows, graph.add("Cast", new, to=TensorProto.INT64))
        later = self._columns(seen.before, complete, max_length * complete)
        seen.after = graph.add("Concat", later, self._columns(new_rows, 0, complete), axis=1)
        return new_rows

    def _rows(self, table: NgramTable) -> str:
        """The table row of each n-gram with this token, 0 if it would begin before the text.

        All hashes are one matrix product with the `MULTIPLIERS` of the n-gram hash.
        """
        graph, longest = self.graph, table.lengths[-1]
        # Ids plus one, so that 0 means no token: before the text, and in the padding after it.
        one = graph.integers(1)
        shifted = graph.add("Add", graph.add("Unsqueeze", INPUT_IDS, one), one)
        if longest > 1:
            window = self.state("window", BATCH, longest - 1, dtype=TensorProto.INT64)
            shifted = graph.add("Concat", window.before, shifted, axis=1)
            window.after = self._columns(shifted, 1, longest)
            shifted = graph.add("Pad", shifted, graph.integers(0, 0, 0, longest - 1))
        ids = graph.add("Max", graph.add("Sub", shifted, one), graph.integers(0))
        starts = [(size, longest - size) for size in table.lengths]
        starts += [
            (size, start) for size in table.lengths for start in range(longest - size + 1, longest)
        ]
        hashing = np.zeros((2 * longest - 1, len(starts)), dtype=np.int64)
        for column, (size, start) in enumerate(starts):
            hashing[start : start + size, column] = MULTIPLIERS[:size] if size > 1 else 1
        bounds = [table.buckets if size > 1 else _NO_MODULUS for size, _ in starts]
        offsets = [table.offset(size) if size > 1 else 0 for size, _ in starts]
        hashed = graph.add("MatMul", ids, graph.constant("ngrams.hashing", hashing, np.int64))
        rows = graph.add("Mod", hashed, graph.constant("ngrams.bounds", bounds, np.int64))
        rows = graph.add("Add", rows, graph.constant("ngrams.offsets", offsets, np.int64))
        first = graph.constant("ngrams.starts", [start for _, start in starts], np.int64)
        begins = graph.add("Gather", graph.add("Min", shifted, one), first, axis=1)
        return graph.add("Mul", rows, begins)

    def _columns(self, name: str, first: int, end: int) -> str:
        graph = self.graph
        bounds = graph.integers(first), graph.integers(end), graph.integers(1)
        return graph.add("Slice", name, *bounds)
