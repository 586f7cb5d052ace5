"""The operators that a network may be made of, and how its nodes must follow each other.

The table is the allow-list: no network of Gatewise needs what is not in it. It owns the number of
inputs and outputs of an operator, the attributes that it may have and the types of its results, by
the definitions of opset 17 (https://onnx.ai/onnx/operators/). Shapes are left to onnxruntime.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gatewise.service.model.errors import NetworkError
from gatewise.service.model.onnx_validation.parsed_network import TYPES, Node, ParsedNetwork

_Type = np.dtype[Any]
_BOOL, _INT64 = np.dtype(np.bool_), np.dtype(np.int64)


@dataclass(frozen=True, slots=True)
class Operator:
    """What is admitted of one operator.

    Attributes:
        inputs: How many inputs it may have.
        settings: The attributes that it may have.
        results: The type of each output that it may have: that of the input at this index, that
            of the code in this attribute, or always this one.
    """

    inputs: Collection[int]
    settings: tuple[str, ...] = ()
    results: tuple[int | str | _Type, ...] = (0,)


def check(network: ParsedNetwork) -> Mapping[str, _Type]:
    """Refuses a network with a node that Gatewise would not have written.

    Every operator is in the allow-list, every input is given by something before it, no two values
    have one name, every output is given by a node, and no integer is divided by what may be zero:
    that ends the process.

    Returns:
        The type of every value, by its name.

    Raises:
        NetworkError: If a node is another; it says which.
    """
    types = {name: value.type for name, value in network.constants.items()}
    for name, kind in network.ends.inputs.items():
        _add(types, name, kind)
    for node in network.nodes:
        operator = _admitted(node)
        if missing := [name for name in node.inputs if name not in types]:
            raise _refused(node, f"nothing before it gives {missing[0]}")
        taken = [types[name] for name in node.inputs]
        if node.operator in ("Div", "Mod"):
            _check_divisor(network, node, taken)
        # An operator may leave out the last of its outputs.
        for name, result in zip(node.outputs, operator.results, strict=False):
            _add(types, name, _type(node, result, taken))
    given = {name for node in network.nodes for name in node.outputs}
    for name, kind in network.ends.outputs.items():
        if name not in given:
            raise NetworkError(f"nothing gives its output {name}")
        if types[name] != kind:
            raise NetworkError(f"expected {name} of type {kind}, it is {types[name]}")
    return types


def _admitted(node: Node) -> Operator:
    operator = OPERATORS.get(node.operator)
    if operator is None:
        raise NetworkError(f"its operator {node.operator} is none that Gatewise writes")
    given, wanted = len(node.inputs), len(node.outputs)
    if not (given in operator.inputs and 1 <= wanted <= len(operator.results)):
        raise _refused(node, f"Gatewise writes none of {given} inputs and {wanted} outputs")
    if others := sorted(set(node.attributes) - set(operator.settings)):
        raise _refused(node, f"Gatewise writes none with {others[0]}")
    return operator


def _check_divisor(network: ParsedNetwork, node: Node, types: Sequence[_Type]) -> None:
    if node.operator == "Div" and all(kind.kind == "f" for kind in types):
        return
    divisor = network.constants.get(node.inputs[1])
    if divisor is None or divisor.integers is None or min(divisor.integers) < 1:
        raise _refused(node, "expected a constant above zero to divide by")


def _type(node: Node, result: int | str | _Type, taken: Sequence[_Type]) -> _Type:
    if isinstance(result, int):
        return taken[result]
    if isinstance(result, str):
        code = node.attributes.get(result)
        if not isinstance(code, int) or code not in TYPES:
            raise _refused(node, "a type of numbers that has no use here")
        return TYPES[code]
    return result


def _add(types: dict[str, _Type], name: str, kind: _Type) -> None:
    if name in types:
        raise NetworkError(f"two values are called {name}")
    types[name] = kind


def _refused(node: Node, reason: str) -> NetworkError:
    name = f" {node.name}" if node.name else ""
    return NetworkError(f"{node.operator}{name}: {reason}")


def _recurrent(*settings: str, states: int = 1) -> Operator:
    # With a state for each of its own that it goes on from, or without any.
    return Operator((5, 5 + states), ("direction", "hidden_size", *settings), (0,) * (1 + states))


_SEVERAL = range(1, 65)

OPERATORS: Mapping[str, Operator] = {
    "Abs": Operator((1,)),
    "Add": Operator((2,)),
    "Cast": Operator((1,), ("to",), ("to",)),
    "Concat": Operator(_SEVERAL, ("axis",)),
    "Div": Operator((2,)),
    "Equal": Operator((2,), (), (_BOOL,)),
    "Exp": Operator((1,)),
    "GRU": _recurrent("linear_before_reset"),
    "Gather": Operator((2,), ("axis",)),
    "Gemm": Operator((3,)),
    "Identity": Operator((1,)),
    "LSTM": _recurrent(states=2),
    "MatMul": Operator((2,)),
    "Max": Operator(_SEVERAL),
    "Min": Operator(_SEVERAL),
    "Mod": Operator((2,)),
    "Mul": Operator((2,)),
    "Pad": Operator((2,)),
    "RNN": _recurrent(),
    "ReduceMax": Operator((1,), ("axes", "keepdims")),
    "ReduceSum": Operator((1, 2), ("keepdims",)),
    "Reshape": Operator((2,)),
    "Shape": Operator((1,), (), (_INT64,)),
    "Slice": Operator((4,)),
    "Sqrt": Operator((1,)),
    "Sub": Operator((2,)),
    "Tanh": Operator((1,)),
    "TopK": Operator((2,), ("axis",), (0, _INT64)),
    "Transpose": Operator((1,), ("perm",)),
    "Unsqueeze": Operator((2,)),
    "Where": Operator((3,), (), (1,)),
}
"""Every operator of which a network may be made."""
