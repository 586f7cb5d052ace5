"""The operators that a network may be made of.

This table is the allow-list: no network of Gatewise needs what is not in it. Owns which inputs and
settings an operator may have, and about how much work and memory it takes; how large its results
are is in `gatewise.service.model.onnx_validation.shapes`. Knows no file and no bound.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from gatewise.service.model.errors import NetworkError
from gatewise.service.model.onnx_validation import shapes
from gatewise.service.model.onnx_validation.parsed_network import MOST_DIMENSIONS, Node
from gatewise.service.model.onnx_validation.shapes import Results, Values

_MOST_NUMBERS = 2**40
_GATES = {"GRU": 3, "LSTM": 4, "RNN": 1}


@dataclass(frozen=True, slots=True)
class Operator:
    """What is admitted of one operator.

    Attributes:
        rule: From a node and its inputs to its outputs.
        least: Fewest inputs.
        most: Most inputs.
        settings: The attributes that it may have.
        outputs: Most outputs.
    """

    rule: Callable[[Node, Values], Results]
    least: int
    most: int
    settings: tuple[str, ...] = ()
    outputs: int = 1


def results(node: Node, inputs: Values) -> Results:
    """What a node gives, in the order of its outputs.

    Args:
        node: The node.
        inputs: What it takes.

    Raises:
        NetworkError: If its operator is not admitted, or makes no sense of what it is given.
    """
    operator = OPERATORS.get(node.operator)
    if operator is None:
        raise NetworkError(f"its operator {node.operator} is none that Gatewise writes")
    given, wanted = len(inputs), len(node.outputs)
    if not (operator.least <= given <= operator.most and 1 <= wanted <= operator.outputs):
        raise shapes.refused(node, f"Gatewise writes none of {given} inputs and {wanted} outputs")
    if others := sorted(set(node.attributes) - set(operator.settings)):
        raise shapes.refused(node, f"Gatewise writes none with {others[0]}")
    outputs = operator.rule(node, inputs)[:wanted]
    if any(len(value.shape) > MOST_DIMENSIONS for value in outputs):
        raise shapes.refused(node, f"expected a result of at most {MOST_DIMENSIONS} dimensions")
    # Told at once, before sizes are multiplied that have thousands of digits.
    if any(value.size > _MOST_NUMBERS for value in outputs):
        raise shapes.refused(node, "its result has more numbers than any memory holds")
    return outputs


def steps(node: Node, inputs: Values, outputs: Results) -> int:
    """About how many steps of arithmetic a node takes, if its shapes are right."""
    size = sum(value.size for value in outputs)
    if node.operator in _GATES:
        tokens, texts, features = inputs[0].shape
        directions, rows, units = inputs[2].shape
        return directions * tokens * texts * rows * (features + units)
    if node.operator in ("MatMul", "Gemm"):
        return size * inputs[0].shape[-1]
    if node.operator == "Gather":
        return size
    # A number that is sorted is compared with some others.
    return (size + sum(value.size for value in inputs)) * (32 if node.operator == "TopK" else 1)


def workspace(node: Node, inputs: Values) -> int:
    """Bytes that a node takes beside its inputs and outputs while it works."""
    if node.operator not in _GATES:
        return 0
    tokens, texts, features = inputs[0].shape
    directions, rows, units = inputs[2].shape
    return directions * tokens * texts * (rows + features + units) * inputs[0].type.itemsize


def _recurrent(operator: str, *settings: str, states: int = 1) -> Operator:
    rule = partial(shapes.recurrent, _GATES[operator], states)
    # With a state for each of its own that it goes on from, or without any.
    names = ("direction", "hidden_size", *settings)
    return Operator(rule, 5, 5 + states, names, outputs=1 + states)


_SEVERAL = 64

OPERATORS: Mapping[str, Operator] = {
    "Abs": Operator(shapes.elementwise, 1, 1),
    "Add": Operator(shapes.elementwise, 2, 2),
    "Cast": Operator(shapes.typed, 1, 1, ("to",)),
    "Concat": Operator(shapes.joined, 1, _SEVERAL, ("axis",)),
    "Div": Operator(shapes.quotient, 2, 2),
    "Equal": Operator(shapes.comparison, 2, 2),
    "Exp": Operator(shapes.elementwise, 1, 1),
    "GRU": _recurrent("GRU", "linear_before_reset"),
    "Gather": Operator(shapes.gathered, 2, 2, ("axis",)),
    "Gemm": Operator(shapes.linear, 3, 3),
    "Identity": Operator(shapes.same, 1, 1),
    "LSTM": _recurrent("LSTM", states=2),
    "MatMul": Operator(shapes.product, 2, 2),
    "Max": Operator(shapes.elementwise, 1, _SEVERAL),
    "Min": Operator(shapes.elementwise, 1, _SEVERAL),
    "Mod": Operator(shapes.remainder, 2, 2),
    "Mul": Operator(shapes.elementwise, 2, 2),
    "Pad": Operator(shapes.padded, 2, 2),
    "RNN": _recurrent("RNN"),
    "ReduceMax": Operator(shapes.reduced, 1, 1, ("axes", "keepdims")),
    "ReduceSum": Operator(shapes.reduced, 1, 2, ("keepdims",)),
    "Reshape": Operator(shapes.reshaped, 2, 2),
    "Shape": Operator(shapes.shape, 1, 1),
    "Slice": Operator(shapes.sliced, 4, 4),
    "Sqrt": Operator(shapes.elementwise, 1, 1),
    "Sub": Operator(shapes.elementwise, 2, 2),
    "Tanh": Operator(shapes.elementwise, 1, 1),
    "TopK": Operator(shapes.largest, 2, 2, ("axis",), outputs=2),
    "Transpose": Operator(shapes.transposed, 1, 1, ("perm",)),
    "Unsqueeze": Operator(shapes.unsqueezed, 2, 2),
    "Where": Operator(shapes.choice, 3, 3),
}
"""Every operator of which a network may be made."""
