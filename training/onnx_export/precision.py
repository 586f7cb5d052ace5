"""Stores the weights of an ONNX network as 16-bit floats or 8-bit integers.

Only the storage changes: weights are converted to 32-bit floats before they are used, and all
arithmetic is in these, so that batch independence stays. Rows of a lookup table are converted after
the lookup; other weights are constant, and runtimes convert them once when they load the file.

In 8 bits a weight is an integer from -127 to 127 times a scale: one scale for each column of a
table, or for each output of a matrix product. N-gram tables have many values near zero and a few
large ones; a table stores signed square roots instead if that is more exact.
"""

from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from gatewise.service.model.model_documents import Precision
from gatewise.training.onnx_export.graph_builder import replace_nodes

_MIN_WEIGHTS = 512
"""Smaller constants stay as they are: the nodes that convert them would take as much space."""

_TABLES = {"Gather": (0,)}
"""Operators, and their inputs that are lookup tables."""

_PRODUCTS = {"MatMul": (1,), "Gemm": (1,), "GRU": (1, 2), "LSTM": (1, 2), "RNN": (1, 2)}
"""Operators, and their inputs that are matrices to multiply by."""

_MAX_INT8 = 127
_MIN_FP16, _MAX_FP16 = (float(getattr(np.finfo(np.float16), name)) for name in ("tiny", "max"))

Weights = NDArray[np.float32]


@dataclass(frozen=True)
class _Stored:
    """Weights in their stored form: numbers, or signed square roots, and their scale.

    The scale has a shape that broadcasts; 16-bit floats have none.
    """

    numbers: NDArray[np.generic]
    scale: Weights | None = None
    is_root: bool = False

    def decoded(self) -> Weights:
        """The weights after a runtime has converted them."""
        weights = self.numbers.astype(np.float32)
        if self.is_root:
            weights = weights * np.abs(weights)
        return weights if self.scale is None else np.asarray(weights * self.scale, dtype=np.float32)


@dataclass
class _Rewriter:
    """Collects the nodes of a graph and inserts those that convert stored weights."""

    graph: onnx.GraphProto
    nodes: list[onnx.NodeProto] = field(default_factory=list)

    def add(self, operator: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def convert(self, source: str, stored: _Stored, name: str, wide: str) -> None:
        """Converts stored weights `source` of the constant `name` to 32-bit floats `wide`."""
        scale = stored.scale
        result = wide if scale is None else f"{wide}.numbers"
        self.add("Cast", [source], result, to=TensorProto.FLOAT)
        if scale is None:
            return
        if stored.is_root:
            size = self.add("Abs", [result], f"{wide}.size")
            result = self.add("Mul", [result, size], f"{wide}.squares")
        if all(constant.name != f"{name}.scale" for constant in self.graph.initializer):
            self.graph.initializer.append(numpy_helper.from_array(scale, f"{name}.scale"))
        self.add("Mul", [result, f"{name}.scale"], wide)


def convert_precision(model: onnx.ModelProto, precision: Precision) -> onnx.ModelProto:
    """The same network with its weights stored in another precision.

    Inputs, outputs and opset stay; only the operators `Cast`, `Mul` and `Abs` are added. With
    `fp32` the model is returned unchanged.

    Args:
        model: From `gatewise.training.onnx_export.keras_to_onnx`.
        precision: The precision.
    """
    if precision == "fp32":
        return model
    rewritten = onnx.ModelProto()
    rewritten.CopyFrom(model)
    graph = rewritten.graph
    converted = _stored_weights(graph, precision)
    for constant in graph.initializer:
        if stored := converted.get(constant.name):
            constant.CopyFrom(numpy_helper.from_array(stored.numbers, constant.name))
    rewriter = _Rewriter(graph)
    in_fp32: set[str] = set()
    for node in graph.node:
        for index in _PRODUCTS.get(node.op_type, ()):
            name = node.input[index]
            if name in converted:
                if name not in in_fp32:
                    rewriter.convert(name, converted[name], name, f"{name}.wide")
                    in_fp32.add(name)
                node.input[index] = f"{name}.wide"
        if node.op_type in _TABLES and (name := node.input[0]) in converted:
            wide = node.output[0]
            node.name = node.output[0] = f"{wide}.stored"
            rewriter.nodes.append(node)
            rewriter.convert(node.output[0], converted[name], name, wide)
        else:
            rewriter.nodes.append(node)
    replace_nodes(graph, rewriter.nodes)
    onnx.checker.check_model(rewritten, full_check=True)
    return rewritten


def _stored_weights(graph: onnx.GraphProto, precision: Precision) -> dict[str, _Stored]:
    """The stored form of each constant that is used only as a table or only as a matrix."""
    constants = {constant.name: constant for constant in graph.initializer}
    uses: dict[str, set[str]] = {}
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name in constants:
                is_table = index in _TABLES.get(node.op_type, ())
                is_matrix = index in _PRODUCTS.get(node.op_type, ())
                use = "table" if is_table else node.op_type if is_matrix else "other"
                uses.setdefault(name, set()).add(use)
    stored = {}
    for name, kinds in uses.items():
        constant = constants[name]
        if constant.data_type != TensorProto.FLOAT or kinds & {"other"} or len(kinds) > 1:
            continue
        weights = numpy_helper.to_array(constant)
        if weights.size < _MIN_WEIGHTS:
            continue
        if precision == "fp16":
            # Those of a regression are as small or as large as its numbers, each of its own unit.
            largest = np.abs(weights).max(axis=None if kinds & {"GRU", "LSTM", "RNN"} else 0)
            if ((largest >= _MIN_FP16) & (largest <= _MAX_FP16) | (largest == 0)).all():
                stored[name] = _Stored(weights.astype(np.float16))
            continue
        (kind,) = kinds
        stored[name] = (
            _quantize_table(weights) if kind == "table" else _quantize_matrix(weights, kind)
        )
    return stored


def _quantize_table(weights: Weights) -> _Stored:
    """A table in 8 bits, with a scale for each column, or one scale if its rows are scalars."""
    linear, roots = (
        _quantize(weights, weights.shape[1:], 0, is_root=is_root) for is_root in (False, True)
    )
    linear_error, root_error = (
        # In 64 bits: the squares of weights of any size.
        float(np.square((stored.decoded() - weights).astype(np.float64)).sum())
        for stored in (linear, roots)
    )
    return roots if root_error < linear_error else linear


def _quantize_matrix(weights: Weights, operator: str) -> _Stored:
    """A matrix in 8 bits, with a scale for each output: a column, or a recurrent operator's row.

    The weights of ONNX's recurrent operators are `(directions, gates x units, inputs)`.
    """
    axis = 0 if operator in ("MatMul", "Gemm") else weights.ndim - 1
    scale_shape = tuple(1 if index == axis else size for index, size in enumerate(weights.shape))
    return _quantize(weights, scale_shape, axis)


def _quantize(
    weights: Weights, scale_shape: tuple[int, ...], axis: int, *, is_root: bool = False
) -> _Stored:
    """Weights in 8 bits with one scale along an axis."""
    largest = np.abs(weights).max(axis=axis, keepdims=True)
    largest = np.where(largest == 0, np.float32(1), largest)
    shares = weights / largest
    if is_root:
        shares = np.sign(shares) * np.sqrt(np.abs(shares))
    numbers = np.rint(shares * _MAX_INT8).astype(np.int8)
    scale = (largest / _MAX_INT8 ** (2 if is_root else 1)).astype(np.float32)
    return _Stored(numbers, scale.reshape(scale_shape), is_root)
