"""An ONNX graph in the making: nodes, constants, and the model that they become.

Knows how ONNX is written and nothing of what is computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from gatewise.service.model.onnx_validation.onnx_parser import (
    BATCH,
    IR_VERSION,
    NEXT,
    OPSET,
    OUTPUT,
    STATE,
    TOKEN,
)
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OLDEST_ONNXRUNTIME = "1.15.0"
"""The oldest onnxruntime that is known to load what is written here; the tests ask that one."""

Array = NDArray[np.generic]


@dataclass
class State:
    """What is carried from one token to the next.

    Attributes:
        name: Its name.
        shape: Its dimensions, one of which is the batch.
        kind: The type of its numbers, in ONNX.
        after: The result that it becomes.
    """

    name: str
    shape: tuple[int | str, ...]
    kind: int
    after: str = ""

    @property
    def before(self) -> str:
        """The input that it is."""
        return STATE + self.name

    @property
    def output(self) -> str:
        """The output that it becomes."""
        return NEXT + self.name


@dataclass
class Graph:
    """Nodes and constants in the making; every method returns the name of its result.

    Attributes:
        nodes: The nodes, each after those whose results it takes.
        constants: The constants by name.
    """

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: object) -> str:
        """Adds a node. Of several results the first has the name, the others a number after it."""
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
        """The finished model, checked: token ids in, logits out.

        Args:
            logits: Name of the result that is the answer.
            classes: Its width.
        """
        ends = [
            helper.make_tensor_value_info(name, TensorProto.INT64, (BATCH, "sequence"))
            for name in ("input_ids", "attention_mask")
        ]
        return self._finished(ends, [self._logits(logits, classes)])

    def step_model(self, logits: str, classes: int, states: Sequence[State]) -> onnx.ModelProto:
        """The finished model, checked: one token of each text and states in and out.

        Args:
            logits: Name of the result that is the answer.
            classes: Its width.
            states: What is carried from one token to the next.
        """
        tokens = helper.make_tensor_value_info(TOKEN, TensorProto.INT64, (BATCH,))
        before, after = [], []
        for state in states:
            before.append(helper.make_tensor_value_info(state.before, state.kind, state.shape))
            after.append(helper.make_tensor_value_info(state.output, state.kind, state.shape))
        answer = self._logits(logits, classes)
        for state in states:
            self._name(state.after, state.output)
        return self._finished([tokens, *before], [answer, *after])

    def _logits(self, logits: str, classes: int) -> onnx.ValueInfoProto:
        self._name(logits, OUTPUT)
        return helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, (BATCH, classes))

    def _name(self, result: str, name: str) -> None:
        self.nodes.append(helper.make_node("Identity", [result], [name], name=name))

    def _finished(
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
    """Gives a graph other nodes, some of which may be its own."""
    # Its own are gone once they are taken out of it: copies go in.
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
