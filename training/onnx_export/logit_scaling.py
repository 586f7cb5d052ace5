"""A factor on a network's logits, folded into its weights: nothing more to compute, anywhere.

Follows the graph from the logits back to the constants that they are sums of. Knows ONNX
operators, and nothing of the network that they make.
"""

from collections import Counter

import numpy as np
import onnx
from onnx import numpy_helper

_SUMS = {"Add", "Sub", "Concat", "Sum"}
"""Operators whose result is scaled by scaling every input."""

_FIRST = {
    *("Identity", "Gather", "ReduceSum", "ReduceMean", "Reshape", "Squeeze", "Transpose"),
    *("Unsqueeze", "Mul", "Div"),
}
"""Operators whose result is scaled by scaling the first input."""

_PRODUCTS = {"Gemm", "MatMul"}
"""Operators whose result is scaled by scaling the second input, and the third if there is one."""


def scale_logits(model: onnx.ModelProto, factor: float) -> onnx.ModelProto:
    """The same network, every logit of which is multiplied by a factor.

    Args:
        model: From `gatewise.training.onnx_export.keras_to_onnx`.
        factor: The factor, above zero: the order of a text's logits stays.

    Raises:
        ValueError: If the logits come of an operator through which no factor can be passed, or of
            a constant that something else is computed from too.
    """
    folded = onnx.ModelProto()
    folded.CopyFrom(model)
    graph = folded.graph
    producers = {output: node for node in graph.node for output in node.output}
    constants = {constant.name: constant for constant in graph.initializer}
    uses = Counter(name for node in graph.node for name in node.input)

    def scale(name: str) -> None:
        if uses[name] > 1:
            raise ValueError(f"cannot scale {name}: more than the logits is computed from it")
        if name in constants:
            value = numpy_helper.to_array(constants[name])
            # In 64 bits, and rounded once.
            product = (value.astype(np.float64) * factor).astype(value.dtype)
            constants[name].CopyFrom(numpy_helper.from_array(product, name))
            return
        node = producers.get(name)
        kind = node.op_type if node else "input"
        if node and kind in _SUMS:
            chosen = list(node.input)
        elif node and kind in _FIRST:
            chosen = [node.input[0]]
        elif node and kind in _PRODUCTS:
            chosen = list(node.input[1:])
        else:
            raise ValueError(f"cannot scale {name}: no factor can be passed through {kind}")
        for source in chosen:
            scale(source)

    (logits,) = graph.output
    scale(logits.name)
    return folded
