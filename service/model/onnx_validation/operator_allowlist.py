"""Validates a network before onnxruntime loads it: its operators, and how they are connected.

An operator that is not in the table is refused. The table has each operator's number of inputs, its
attributes and the data types of its outputs, by the definitions of opset 17
(https://onnx.ai/onnx/operators/). Shapes are left to onnxruntime.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gatewise.service.model.errors import NetworkError
from gatewise.service.model.onnx_validation.onnx_parser import (
    DTYPES,
    Dtype,
    Node,
    ParsedNetwork,
    parse_network,
    parse_step_network,
)

_BOOL, _INT64 = np.dtype(np.bool_), np.dtype(np.int64)


@dataclass(frozen=True, slots=True)
class Operator:
    """The allowed uses of an operator."""

    inputs: Collection[int]  # the allowed numbers of inputs
    attributes: tuple[str, ...] = ()  # the allowed attributes
    # The data type of each output: that of the input at an index, the value of an attribute,
    # or a fixed one.
    outputs: tuple[int | str | Dtype, ...] = (0,)


def validate_network(
    contents: bytes, num_classes: int, *, is_step: bool, features: int = 0
) -> ParsedNetwork:
    """Parses an ONNX file and checks its operators and its number of classes.

    Args:
        contents: The file.
        num_classes: The number of classes.
        is_step: Whether it is a step network.
        features: Numbers of a step, of a network that reads sequences; 0 for one of texts.

    Raises:
        NetworkError: It contains anything that Gatewise does not write.
    """
    network = (parse_step_network if is_step else parse_network)(contents, features)
    check_operators(network)
    found = network.signature.num_classes
    if found not in (None, num_classes):
        raise NetworkError(
            f"expected logits of {num_classes} classes by config.json, found {found}"
        )
    return network


def check_operators(network: ParsedNetwork) -> Mapping[str, Dtype]:
    """Checks that a network uses only what Gatewise writes.

    Every operator is in the table, every input is the output of an earlier node, names are unique,
    and every output of the network is computed. Integers are divided by positive constants only,
    because a division by zero ends the process.

    Raises:
        NetworkError: A node fails a check; the message says which.
    """
    dtypes = {name: constant.dtype for name, constant in network.constants.items()}
    for name, dtype in network.signature.inputs.items():
        _add(dtypes, name, dtype)
    for node in network.nodes:
        operator = _allowed(node)
        if missing := [name for name in node.inputs if name not in dtypes]:
            raise _refusal(node, f"no earlier node computes its input {missing[0]}")
        input_dtypes = [dtypes[name] for name in node.inputs]
        if node.operator in ("Div", "Mod"):
            _check_divisor(network, node, input_dtypes)
        # The last outputs of an operator may be left out.
        for name, output in zip(node.outputs, operator.outputs, strict=False):
            _add(dtypes, name, _output_dtype(node, output, input_dtypes))
    computed = {name for node in network.nodes for name in node.outputs}
    for name, dtype in network.signature.outputs.items():
        if name not in computed:
            raise NetworkError(f"no node computes the output {name}")
        if dtypes[name] != dtype:
            raise NetworkError(f"the output {name}: expected type {dtype}, found {dtypes[name]}")
    return dtypes


def _allowed(node: Node) -> Operator:
    operator = OPERATORS.get(node.operator)
    if operator is None:
        raise NetworkError(f"the operator {node.operator} is not one that Gatewise writes")
    inputs, outputs = len(node.inputs), len(node.outputs)
    if not (inputs in operator.inputs and 1 <= outputs <= len(operator.outputs)):
        raise _refusal(node, f"{inputs} inputs and {outputs} outputs are not allowed")
    if unknown := sorted(set(node.attributes) - set(operator.attributes)):
        raise _refusal(node, f"the attribute {unknown[0]} is not allowed")
    return operator


def _check_divisor(network: ParsedNetwork, node: Node, input_dtypes: Sequence[Dtype]) -> None:
    if node.operator == "Div" and all(dtype.kind == "f" for dtype in input_dtypes):
        return
    divisor = network.constants.get(node.inputs[1])
    if divisor is None or divisor.integers is None or min(divisor.integers) < 1:
        raise _refusal(node, "expected a positive constant as the divisor")


def _output_dtype(node: Node, output: int | str | Dtype, input_dtypes: Sequence[Dtype]) -> Dtype:
    if isinstance(output, int):
        return input_dtypes[output]
    if isinstance(output, str):
        code = node.attributes.get(output)
        if not isinstance(code, int) or code not in DTYPES:
            raise _refusal(node, f"the data type {code} is not supported")
        return DTYPES[code]
    return output


def _add(dtypes: dict[str, Dtype], name: str, dtype: Dtype) -> None:
    if name in dtypes:
        raise NetworkError(f"two values are called {name}")
    dtypes[name] = dtype


def _refusal(node: Node, reason: str) -> NetworkError:
    name = f" {node.name}" if node.name else ""
    return NetworkError(f"{node.operator}{name}: {reason}")


def _recurrent(*attributes: str, states: int = 1) -> Operator:
    # With all initial states or with none.
    outputs = (0,) * (1 + states)
    return Operator((5, 5 + states), ("direction", "hidden_size", *attributes), outputs)


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
"""The operators that a network may use, by their type."""
