"""Builds ONNX graphs: nodes, constants, and the finished model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from gatewise.service.model.onnx_validation.onnx_parser import (
    BATCH,
    IR_VERSION,
    NEXT,
    OPSET,
    OUTPUT,
    STATE,
)
from gatewise.vocab.tokenizer.encoding import ATTENTION_MASK, INPUT_IDS, INPUT_VALUES

OLDEST_ONNXRUNTIME = "1.15.0"
"""The oldest onnxruntime known to load the exported models; the tests run with it."""

MEAN, DEVIATION = "standardization.mean", "standardization.deviation"
"""The weights that standardize sequences of numbers."""

Array = NDArray[np.generic]


@dataclass
class CarriedState:
    """A tensor carried from one token to the next.

    `shape` has the batch as one of its dimensions, `dtype` is an ONNX data type, and `after` is the
    name of the result with the new value.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: int
    after: str = ""

    @property
    def before(self) -> str:
        """The model input with the old value."""
        return STATE + self.name

    @property
    def output(self) -> str:
        """The model output with the new value."""
        return NEXT + self.name


@dataclass
class Graph:
    """A graph under construction; `add` and the methods for constants return a result's name."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: object) -> str:
        """Adds a node; the first result has its name, further ones the name and a number."""
        name = f"{operator.lower()}_{len(self.nodes)}"
        results = [name if index == 0 else f"{name}_{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, results, name=name, **attributes))
        return name

    def constant(self, name: str, value: object, dtype: type = np.float32) -> str:
        """Adds a constant."""
        self.constants[name] = np.ascontiguousarray(value, dtype=dtype)
        return name

    def integers(self, *values: int) -> str:
        """Adds a constant of 64-bit integers."""
        return self.constant("int_" + "_".join(map(str, values)), values, np.int64)

    def model(self, logits: str, classes: int, features: int = 0) -> onnx.ModelProto:
        """The finished, checked model: token ids to logits, which are the result of this name.

        With features it takes sequences of numbers in place of ids.
        """
        sizes = (BATCH, "sequence")
        inputs = [
            helper.make_tensor_value_info(INPUT_VALUES, TensorProto.FLOAT, (*sizes, features))
            if features
            else helper.make_tensor_value_info(INPUT_IDS, TensorProto.INT64, sizes),
            helper.make_tensor_value_info(ATTENTION_MASK, TensorProto.INT64, sizes),
        ]
        return self.finish(inputs, [self._logits(logits, classes)])

    def step_model(
        self, logits: str, classes: int, states: Sequence[CarriedState], features: int = 0
    ) -> onnx.ModelProto:
        """The finished, checked step model: tokens and states to logits and new states.

        With features it takes vectors in place of tokens.
        """
        tokens = (
            helper.make_tensor_value_info(INPUT_VALUES, TensorProto.FLOAT, (BATCH, features))
            if features
            else helper.make_tensor_value_info(INPUT_IDS, TensorProto.INT64, (BATCH,))
        )
        before, after = [], []
        for state in states:
            before.append(helper.make_tensor_value_info(state.before, state.dtype, state.shape))
            after.append(helper.make_tensor_value_info(state.output, state.dtype, state.shape))
        output = self._logits(logits, classes)
        for state in states:
            self._rename(state.after, state.output)
        return self.finish([tokens, *before], [output, *after])

    def finish(
        self,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
        opsets: Mapping[str, int] = MappingProxyType({"": OPSET}),
        ir_version: int = IR_VERSION,
    ) -> onnx.ModelProto:
        """The finished, checked model, with versions of operator sets by their domain."""
        proto = helper.make_graph(
            self.nodes,
            "gatewise",
            inputs=inputs,
            outputs=outputs,
            initializer=[
                numpy_helper.from_array(array, name) for name, array in self.constants.items()
            ],
        )
        model = helper.make_model(
            proto,
            producer_name="gatewise",
            opset_imports=[helper.make_opsetid(*opset) for opset in opsets.items()],
            ir_version=ir_version,
        )
        onnx.checker.check_model(model, full_check=True)
        return model

    def _logits(self, logits: str, classes: int) -> onnx.ValueInfoProto:
        self._rename(logits, OUTPUT)
        return helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, (BATCH, classes))

    def _rename(self, result: str, name: str) -> None:
        self.nodes.append(helper.make_node("Identity", [result], [name], name=name))


def replace_nodes(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> None:
    """Replaces the nodes of a graph; the new ones may include its own."""
    # Deleting the graph's nodes invalidates them, so copies are inserted.
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
