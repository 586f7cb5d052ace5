"""Builds ONNX graphs: nodes, constants, and the finished model."""

from collections.abc import Sequence
from dataclasses import dataclass, field

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
    TOKEN,
)

OLDEST_ONNXRUNTIME = "1.15.0"
"""The oldest onnxruntime known to load the exported models; the tests run with it."""

Array = NDArray[np.generic]


@dataclass
class State:
    """A tensor carried from one token to the next.

    Attributes:
        name: Its name.
        shape: Its dimensions, one of which is the batch.
        dtype: Its ONNX data type.
        after: Name of the result with its new value.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: int
    after: str = ""

    @property
    def before(self) -> str:
        """Name of the model input with the old value."""
        return STATE + self.name

    @property
    def output(self) -> str:
        """Name of the model output with the new value."""
        return NEXT + self.name


@dataclass
class Graph:
    """A graph under construction; `add` and the methods for constants return a result's name.

    Attributes:
        nodes: The nodes in topological order.
        constants: The constants by name.
    """

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

    def model(self, logits: str, classes: int) -> onnx.ModelProto:
        """The finished, checked model: token ids to logits.

        Args:
            logits: Name of the result with the logits.
            classes: Number of classes.
        """
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT64, (BATCH, "sequence"))
            for name in ("input_ids", "attention_mask")
        ]
        return self._finish(inputs, [self._logits(logits, classes)])

    def step_model(self, logits: str, classes: int, states: Sequence[State]) -> onnx.ModelProto:
        """The finished, checked step model: a token of each text and states to logits and states.

        Args:
            logits: Name of the result with the logits.
            classes: Number of classes.
            states: The tensors carried from one token to the next.
        """
        tokens = helper.make_tensor_value_info(TOKEN, TensorProto.INT64, (BATCH,))
        before, after = [], []
        for state in states:
            before.append(helper.make_tensor_value_info(state.before, state.dtype, state.shape))
            after.append(helper.make_tensor_value_info(state.output, state.dtype, state.shape))
        output = self._logits(logits, classes)
        for state in states:
            self._rename(state.after, state.output)
        return self._finish([tokens, *before], [output, *after])

    def _logits(self, logits: str, classes: int) -> onnx.ValueInfoProto:
        self._rename(logits, OUTPUT)
        return helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, (BATCH, classes))

    def _rename(self, result: str, name: str) -> None:
        self.nodes.append(helper.make_node("Identity", [result], [name], name=name))

    def _finish(
        self, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
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
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def replace_nodes(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> None:
    """Replaces the nodes of a graph; the new ones may include its own."""
    # Deleting the graph's nodes invalidates them, so copies are inserted.
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
