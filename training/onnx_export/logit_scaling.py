"""Multiplies the logits of an ONNX network by a factor, by scaling its weights.

Follows the graph from the logits back to the constants that they are linear in, so that inference
has nothing more to compute.
"""

from collections import Counter

import numpy as np
import onnx
from onnx import numpy_helper

_SUMS = {"Add", "Sub", "Concat", "Sum"}
"""Operators whose result is scaled by scaling every input."""

_FIRST_INPUT = {
    *("Identity", "Gather", "ReduceSum", "ReduceMean", "Reshape", "Squeeze", "Transpose"),
    *("Unsqueeze", "Mul", "Div"),
}
"""Operators whose result is scaled by scaling the first input."""

_PRODUCTS = {"Gemm", "MatMul"}
"""Operators whose result is scaled by scaling the second input, and the third if there is one."""


def scale_logits(model: onnx.ModelProto, factor: float) -> onnx.ModelProto:
    """The same network with every logit multiplied by a factor.

    Args:
        model: From `gatewise.training.onnx_export.keras_to_onnx`.
        factor: The factor, above zero, so that the order of a text's logits stays.

    Raises:
        ValueError: If the logits are the result of an operator that no factor passes through, or
            of a constant that is also used elsewhere.
    """
    scaled = onnx.ModelProto()
    scaled.CopyFrom(model)
    graph = scaled.graph
    producers = {output: node for node in graph.node for output in node.output}
    constants = {constant.name: constant for constant in graph.initializer}
    uses = Counter(name for node in graph.node for name in node.input)

    def scale(name: str) -> None:
        if uses[name] > 1:
            raise ValueError(f"cannot scale {name}: other results are computed from it too")
        if name in constants:
            value = numpy_helper.to_array(constants[name])
            # In 64 bits, so that it is rounded once.
            product = (value.astype(np.float64) * factor).astype(value.dtype)
            constants[name].CopyFrom(numpy_helper.from_array(product, name))
            return
        node = producers.get(name)
        kind = node.op_type if node else "input"
        if node and kind in _SUMS:
            inputs = list(node.input)
        elif node and kind in _FIRST_INPUT:
            inputs = [node.input[0]]
        elif node and kind in _PRODUCTS:
            inputs = list(node.input[1:])
        else:
            raise ValueError(f"cannot scale {name}: no factor passes through {kind}")
        for source in inputs:
            scale(source)

    (logits,) = graph.output
    scale(logits.name)
    return scaled
