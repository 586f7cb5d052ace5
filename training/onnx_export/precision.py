"""A network with its weights kept in fewer bits: the same operators, on smaller numbers.

Only how weights are stored changes. Before they are used they become 32-bit floats again, and all
arithmetic is in those, so a text's logits depend on the texts beside it as little as before. What
is looked up in a table is made wide after it was looked up; the other weights are the same at
every call, and runtimes make them wide once, when they load the file.

In 8 bits a number is a whole one from -127 to 127 times a scale: one scale for each column of a
table, or for each output of a product. Tables of n-grams hold many numbers near zero and a few
large ones; where it is nearer to the numbers, a table keeps signed square roots instead. Knows
ONNX operators and nothing of the network that they make.
"""

from dataclasses import dataclass, field

import numpy as np
import onnx
from gatewise.service.model.model_documents import Precision
from gatewise.training.onnx_export.graph_builder import replace_nodes
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_LEAST_NUMBERS = 512
"""Smaller constants stay as they are: what makes them wide again would take as much room."""

_TABLES = {"Gather": (0,)}
"""Operators, and which of their inputs are looked up."""

_PRODUCTS = {"MatMul": (1,), "Gemm": (1,), "GRU": (1, 2), "LSTM": (1, 2), "RNN": (1, 2)}
"""Operators, and which of their inputs are multiplied with."""

_HIGHEST = 127
_HALF_RANGE = float(np.finfo(np.float16).max)

Weights = NDArray[np.float32]


@dataclass(frozen=True)
class _Code:
    """Weights as they are stored.

    Attributes:
        numbers: What is stored.
        scale: What the numbers are multiplied by, of a shape that broadcasts; None for halves.
        is_root: Whether the numbers are signed square roots.
    """

    numbers: NDArray[np.generic]
    scale: Weights | None = None
    is_root: bool = False

    def decoded(self) -> Weights:
        """The weights that a runtime makes of them."""
        wide = self.numbers.astype(np.float32)
        if self.is_root:
            wide = wide * np.abs(wide)
        return wide if self.scale is None else np.asarray(wide * self.scale, dtype=np.float32)


@dataclass
class _Rewriting:
    """A graph on its way: its nodes with those put between that make stored weights wide."""

    graph: onnx.GraphProto
    nodes: list[onnx.NodeProto] = field(default_factory=list)

    def add(self, operator: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def widen(self, source: str, code: _Code, name: str, wide: str) -> None:
        """From what is stored, under the name `source`, to 32-bit floats, under `wide`."""
        scale = code.scale
        result = wide if scale is None else f"{wide}.numbers"
        self.add("Cast", [source], result, to=TensorProto.FLOAT)
        if scale is None:
            return
        if code.is_root:
            size = self.add("Abs", [result], f"{wide}.size")
            result = self.add("Mul", [result, size], f"{wide}.squares")
        if all(constant.name != f"{name}.scale" for constant in self.graph.initializer):
            self.graph.initializer.append(numpy_helper.from_array(scale, f"{name}.scale"))
        self.add("Mul", [result, f"{name}.scale"], wide)


def stored_in(precision: Precision, model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network with its weights stored in another precision.

    Inputs, outputs, opset and what is computed stay; `Cast`, `Mul` and `Abs` are all that is added.

    Args:
        precision: Which; with `fp32` the model is given back as it is.
        model: From `gatewise.training.onnx_export.keras_to_onnx`.
    """
    if precision == "fp32":
        return model
    rewritten = onnx.ModelProto()
    rewritten.CopyFrom(model)
    graph = rewritten.graph
    codes = _codes(graph, precision)
    for constant in graph.initializer:
        if code := codes.get(constant.name):
            constant.CopyFrom(numpy_helper.from_array(code.numbers, constant.name))
    rewriting = _Rewriting(graph)
    made_wide: set[str] = set()
    for node in graph.node:
        for place in _PRODUCTS.get(node.op_type, ()):
            name = node.input[place]
            if name in codes:
                if name not in made_wide:
                    rewriting.widen(name, codes[name], name, f"{name}.wide")
                    made_wide.add(name)
                node.input[place] = f"{name}.wide"
        if node.op_type in _TABLES and (name := node.input[0]) in codes:
            wide = node.output[0]
            node.name = node.output[0] = f"{wide}.stored"
            rewriting.nodes.append(node)
            rewriting.widen(node.output[0], codes[name], name, wide)
        else:
            rewriting.nodes.append(node)
    replace_nodes(graph, rewriting.nodes)
    onnx.checker.check_model(rewritten, full_check=True)
    return rewritten


def _codes(graph: onnx.GraphProto, precision: Precision) -> dict[str, _Code]:
    """What is stored for each constant that is a table or multiplied with."""
    constants = {constant.name: constant for constant in graph.initializer}
    uses: dict[str, set[str]] = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name in constants:
                is_table = place in _TABLES.get(node.op_type, ())
                is_factor = place in _PRODUCTS.get(node.op_type, ())
                use = "table" if is_table else node.op_type if is_factor else "other"
                uses.setdefault(name, set()).add(use)
    codes = {}
    for name, kinds in uses.items():
        constant = constants[name]
        if constant.data_type != TensorProto.FLOAT or kinds & {"other"} or len(kinds) > 1:
            continue
        weights = numpy_helper.to_array(constant)
        if weights.size < _LEAST_NUMBERS:
            continue
        if precision == "fp16":
            if np.abs(weights).max() <= _HALF_RANGE:
                codes[name] = _Code(weights.astype(np.float16))
            continue
        (kind,) = kinds
        codes[name] = _of_table(weights) if kind == "table" else _of_factor(weights, kind)
    return codes


def _of_table(weights: Weights) -> _Code:
    """A table's rows, with a scale for each column, or one for all of a table of plain numbers."""
    linear, roots = (
        _in_eight_bits(weights, weights.shape[1:], 0, is_root=is_root) for is_root in (False, True)
    )
    of_linear, of_roots = (
        float(np.square(code.decoded() - weights).sum()) for code in (linear, roots)
    )
    return roots if of_roots < of_linear else linear


def _of_factor(weights: Weights, operator: str) -> _Code:
    """A matrix, with a scale for each of its outputs: its columns, or a recurrent operator's rows.

    ONNX's recurrent operators keep `(directions, gates x units, inputs)`.
    """
    axis = 0 if operator in ("MatMul", "Gemm") else weights.ndim - 1
    kept = tuple(1 if index == axis else size for index, size in enumerate(weights.shape))
    return _in_eight_bits(weights, kept, axis)


def _in_eight_bits(
    weights: Weights, of_scale: tuple[int, ...], axis: int, *, is_root: bool = False
) -> _Code:
    """Whole numbers, and the scale of all that stands along an axis, in a shape of its own."""
    largest = np.abs(weights).max(axis=axis, keepdims=True)
    largest = np.where(largest == 0, np.float32(1), largest)
    shares = weights / largest
    if is_root:
        shares = np.sign(shares) * np.sqrt(np.abs(shares))
    numbers = np.rint(shares * _HIGHEST).astype(np.int8)
    scale = (largest / _HIGHEST ** (2 if is_root else 1)).astype(np.float32)
    return _Code(numbers, scale.reshape(of_scale), is_root)
