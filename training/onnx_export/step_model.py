"""The network as it reads one token more: the token and a state in, logits and a new state out.

Only a network that reads forward can be asked so. It is written of the constants of the lowered
network, so whatever was folded into those, the temperature, the weights of the paths and what
spelling adds, is in it too, and its logits after a text's last token are that network's.

Every state begins as zeros, before the begin mark. What a read-out needs of the states before is
kept added up: their maximum, their sum, or, of attention, their sum weighted by a running softmax
(Milakov and Gimelshein 2018, "Online normalizer calculation for softmax"). An n-gram counts once a
text and those that begin in its last tokens change with the next one, so of the n-grams the state
is what the finished ones add up to, their rows, and the last tokens. There is room for the rows of
a text as long as the model reads: the work for a token does not depend on the text before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from gatewise.service.model.onnx_validation.onnx_parser import BATCH, TOKEN
from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.network.ngrams import MULTIPLIERS, SCALE, SHORTEST
from gatewise.training.network.shape import NgramTable
from gatewise.training.onnx_export.graph_builder import Array, Graph, State
from gatewise.training.onnx_export.keras_to_onnx import OPERATORS, identity
from onnx import TensorProto, numpy_helper

_NO_BOUND = 2**52
"""A divisor that leaves an id as it is."""


def step(
    lowered: onnx.ModelProto,
    config: NetworkConfig,
    table: NgramTable | None,
    max_length: int,
) -> onnx.ModelProto:
    """Writes a network that reads one token of each text at a time.

    Inputs: `input_ids`, int64 `(batch,)`, and states, each of which is zeros at first. Outputs:
    `logits`, float32 `(batch, classes)`, and for each `state.x` a `next.x` of the same shape.

    Args:
        lowered: From `gatewise.training.onnx_export.keras_to_onnx`; of a network that reads
        forward.
        config: The config that it was built with.
        table: The layout of its n-grams; None without any.
        max_length: Most tokens of a text.
    """
    constants = {each.name: numpy_helper.to_array(each) for each in lowered.graph.initializer}
    writing = _Writing(constants, config)
    logits = writing.recurrent_logits()
    if table is not None:
        logits = writing.graph.add("Add", logits, writing.ngram_logits(table, max_length))
    classes = len(constants["classifier.bias"])
    return writing.graph.step_model(logits, classes, writing.states)


@dataclass
class _Writing:
    """The graph on its way, and the states that it has asked for."""

    constants: Mapping[str, Array]
    config: NetworkConfig
    graph: Graph = field(default_factory=Graph)
    states: list[State] = field(default_factory=list)

    def constant(self, name: str) -> str:
        """A constant of the lowered network."""
        value = self.constants[name]
        return self.graph.constant(name, value, value.dtype.type)

    def state(self, name: str, *shape: int | str, kind: int = TensorProto.FLOAT) -> State:
        """A new state."""
        found = State(name, shape, kind)
        self.states.append(found)
        return found

    def recurrent_logits(self) -> str:
        """From the token to the logits of the recurrent path."""
        graph = self.graph
        # Time comes first, as in the whole network: one step of it.
        ids = graph.add("Unsqueeze", TOKEN, graph.integers(0))
        same = graph.add("Equal", TOKEN, TOKEN)
        lengths = graph.add("Cast", same, to=TensorProto.INT32)  # a one for each text
        inputs = ""
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
        features = graph.add("Reshape", self._read_out(inputs), graph.integers(0, -1))
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

    def _read_out(self, now: str) -> str:
        """What is read of the states up to this one, `(batch, parts, units)`."""
        graph, readout = self.graph, self.config.readout
        parts = [now]
        if readout != "last":
            count = self.state("count", 1, BATCH, 1)
            first = graph.add("Equal", count.before, graph.constant("zero", 0.0))
            count.after = graph.add("Add", count.before, graph.constant("one", 1.0))
            if readout == "attention":
                parts = [self._attended(now, first)]
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

    def _attended(self, now: str, first: str) -> str:
        """The arithmetic of `onnx_export.pooling`, a step of it, `(1, batch, units)`."""
        graph = self.graph
        hidden = graph.add("MatMul", now, self.constant("readout.weight"))
        hidden = graph.add("Tanh", graph.add("Add", hidden, self.constant("readout.bias")))
        context = graph.constant("readout.context", self.constants["readout.context"].reshape(-1))
        weighted = graph.add("Mul", hidden, context)
        score = graph.add("ReduceSum", weighted, graph.integers(2), keepdims=1)

        highest = self.state("highest", 1, BATCH, 1)
        # Before the first token there is none, and zero could be so far above that all is lost.
        known = graph.add("Where", first, score, highest.before)
        highest.after = graph.add("Max", known, score)
        share = graph.add("Exp", graph.add("Sub", score, highest.after))
        fading = graph.add("Exp", graph.add("Sub", known, highest.after))
        shares = self.state("shares", 1, BATCH, 1)
        shares.after = graph.add("Add", graph.add("Mul", shares.before, fading), share)
        total = self.state("attended", 1, BATCH, self.config.units)
        faded = graph.add("Mul", total.before, fading)
        total.after = graph.add("Add", faded, graph.add("Mul", now, share))
        return graph.add("Div", total.after, shares.after)

    def ngram_logits(self, table: NgramTable, max_length: int) -> str:
        """The logits of the linear path, of finished n-grams and of those that are not yet."""
        graph, lengths = self.graph, table.lengths
        rows = self._fresh(table, max_length)
        # What a row adds to the sum, and to the square of the length, side by side.
        weights, told = self.constants["ngrams.weight"], self.constants["ngrams.told"]
        both = np.concatenate([weights, np.square(told)[:, None]], axis=1)
        found = graph.add("Gather", graph.constant("ngrams.table", both), rows)
        total = self.state("ngrams", BATCH, both.shape[1])
        finished = self._columns(found, 0, len(lengths))
        added = graph.add("ReduceSum", finished, graph.integers(1), keepdims=0)
        total.after = everything = graph.add("Add", total.before, added)
        if lengths[-1] > 1:
            unfinished = self._columns(found, len(lengths), sum(lengths))
            added = graph.add("ReduceSum", unfinished, graph.integers(1), keepdims=0)
            everything = graph.add("Add", everything, added)
        summed = self._columns(everything, 0, weights.shape[1])
        squares = self._columns(everything, weights.shape[1], both.shape[1])
        shortest = graph.constant("ngrams.shortest", SHORTEST)
        length = graph.add("Max", graph.add("Sqrt", squares), shortest)
        scale = graph.add("Div", graph.constant("ngrams.scale", SCALE), length)
        logits = graph.add("Mul", summed, scale)
        if "ngrams.kernel" in self.constants:
            logits = graph.add("MatMul", logits, self.constant("ngrams.kernel"))
        return logits

    def _fresh(self, table: NgramTable, max_length: int) -> str:
        """The rows of the n-grams with this token that the text has not had, 0 for the others.

        int64 `(batch, n-grams)`: of each length first the one that ends here, then those that
        begin in the last tokens and end after the text.
        """
        graph, finished = self.graph, len(table.lengths)
        rows = self._rows(table)
        seen = self.state("seen", BATCH, max_length * finished, kind=TensorProto.INT64)
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
        fresh = graph.add("Mul", rows, graph.add("Cast", new, to=TensorProto.INT64))
        later = self._columns(seen.before, finished, max_length * finished)
        seen.after = graph.add("Concat", later, self._columns(fresh, 0, finished), axis=1)
        return fresh

    def _rows(self, table: NgramTable) -> str:
        """The table's row of each n-gram with this token, 0 where it would begin before the text.

        One product with the multipliers of `gatewise.training.network.ngrams`, each in its place.
        """
        graph, longest = self.graph, table.lengths[-1]
        # One more than the ids, so that 0 is no token; the padding after a text is none.
        one = graph.integers(1)
        marks = graph.add("Add", graph.add("Unsqueeze", TOKEN, one), one)
        if longest > 1:
            window = self.state("window", BATCH, longest - 1, kind=TensorProto.INT64)
            marks = graph.add("Concat", window.before, marks, axis=1)
            window.after = self._columns(marks, 1, longest)
            marks = graph.add("Pad", marks, graph.integers(0, 0, 0, longest - 1))
        ids = graph.add("Max", graph.add("Sub", marks, one), graph.integers(0))
        starts = [(size, longest - size) for size in table.lengths]
        starts += [
            (size, start) for size in table.lengths for start in range(longest - size + 1, longest)
        ]
        hashing = np.zeros((2 * longest - 1, len(starts)), dtype=np.int64)
        for column, (size, start) in enumerate(starts):
            hashing[start : start + size, column] = MULTIPLIERS[:size] if size > 1 else 1
        bounds = [table.buckets if size > 1 else _NO_BOUND for size, _ in starts]
        offsets = [table.offset(size) if size > 1 else 0 for size, _ in starts]
        hashed = graph.add("MatMul", ids, graph.constant("ngrams.hashing", hashing, np.int64))
        rows = graph.add("Mod", hashed, graph.constant("ngrams.bounds", bounds, np.int64))
        rows = graph.add("Add", rows, graph.constant("ngrams.offsets", offsets, np.int64))
        places = graph.constant("ngrams.starts", [start for _, start in starts], np.int64)
        begins = graph.add("Gather", graph.add("Min", marks, one), places, axis=1)
        return graph.add("Mul", rows, begins)

    def _columns(self, name: str, first: int, end: int) -> str:
        graph = self.graph
        bounds = graph.integers(first), graph.integers(end), graph.integers(1)
        return graph.add("Slice", name, *bounds)
