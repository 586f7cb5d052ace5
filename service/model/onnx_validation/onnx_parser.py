"""Reads an ONNX file from its bytes, strictly, into nodes, constants, inputs and outputs.

Only the parts of the format that a Gatewise network uses are accepted: external data, subgraphs and
functions could read other files or never end. Which operators are allowed is decided by
`gatewise.service.model.onnx_validation.operator_allowlist`.

Source of the fields and their numbers: onnx.proto of the ONNX specification
(https://onnx.ai/onnx/repo-docs/IR.html).
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatewise.service.model.errors import NetworkError
from gatewise.service.model.onnx_validation.protobuf_reader import (
    Field,
    Message,
    MessageSchema,
    ProtobufError,
    encode_field,
)
from gatewise.vocab.tokenizer.encoding import ATTENTION_MASK, INPUT_IDS, INPUT_VALUES

OPSET = 17
"""The ONNX opset of every network: the newest that onnxruntime has read since version 1.12."""

IR_VERSION = 8
"""The version of the ONNX file format of every network, of the same age."""

OUTPUT = "logits"

STATE, NEXT = "state.", "next."
"""The prefix of each state of a step network, which reads one token at a time, among its inputs and
among its outputs."""

BATCH = "batch"
"""The symbolic batch dimension in the shapes of a step network."""

Dtype = np.dtype[Any]
DTYPES: Mapping[int, Dtype] = {
    1: np.dtype(np.float32),
    2: np.dtype(np.uint8),
    3: np.dtype(np.int8),
    6: np.dtype(np.int32),
    7: np.dtype(np.int64),
    9: np.dtype(np.bool_),
    10: np.dtype(np.float16),
}
"""The data types that a network may use, by their code in ONNX (TensorProto.DataType)."""

Attribute = int | str | tuple[int, ...]

_INT64, _FLOAT = DTYPES[7], DTYPES[1]
_INT, _STRING, _INTS = 2, 3, 7  # AttributeProto.AttributeType

_MAX_DIMENSIONS = 8
_MAX_NODES = 2000
_MAX_CONSTANTS = 4000
_MAX_NODE_BYTES = 1024 * 1024
_MAX_FIELDS = _MAX_NODES + _MAX_CONSTANTS + 8
_MAX_STATES = 32
# The states of the longest texts, with room to spare.
_MAX_STATE_BYTES = 8 * 2**20
_MAX_NAME_LENGTH = 200
# The values of integer constants are read up to this size: enough for the divisors of n-grams.
_MAX_INTEGERS = 64

_MODEL = MessageSchema(
    "the model",
    {
        1: Field("ir_version", "integer"),
        2: Field("producer_name", "bytes"),
        7: Field("graph", "bytes"),
        8: Field("opset_import", "list"),
    },
    max_fields=_MAX_FIELDS,
)
_OPSET = MessageSchema("an opset", {1: Field("domain", "bytes"), 2: Field("version", "integer")})
_GRAPH = MessageSchema(
    "the graph",
    {
        1: Field("node", "list"),
        2: Field("name", "bytes"),
        5: Field("initializer", "list"),
        11: Field("input", "list"),
        12: Field("output", "list"),
    },
    max_fields=_MAX_FIELDS,
)
_NODE = MessageSchema(
    "a node",
    {
        1: Field("input", "list"),
        2: Field("output", "list"),
        3: Field("name", "bytes"),
        4: Field("op_type", "bytes"),
        5: Field("attribute", "list"),
        7: Field("domain", "bytes"),
    },
)
_ATTRIBUTE = MessageSchema(
    "an attribute of a node",
    {
        1: Field("name", "bytes"),
        3: Field("i", "integer"),
        4: Field("s", "bytes"),
        6: Field("g", "bytes"),
        8: Field("ints", "integers"),
        11: Field("graphs", "list"),
        20: Field("type", "integer"),
    },
)
_TENSOR = MessageSchema(
    "a constant",
    {
        1: Field("dims", "integers"),
        2: Field("data_type", "integer"),
        8: Field("name", "bytes"),
        9: Field("raw_data", "bytes"),
        13: Field("external_data", "list"),
        14: Field("data_location", "integer"),
    },
)
_VALUE_INFO = MessageSchema(
    "an input or output", {1: Field("name", "bytes"), 2: Field("type", "bytes")}
)
_TYPE = MessageSchema("a type", {1: Field("tensor_type", "bytes")})
_TENSOR_TYPE = MessageSchema(
    "a type", {1: Field("elem_type", "integer"), 2: Field("shape", "bytes")}
)
_SHAPE = MessageSchema("a shape", {1: Field("dim", "list")})
_DIMENSION = MessageSchema(
    "a shape", {1: Field("dim_value", "integer"), 2: Field("dim_param", "bytes")}
)


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant of a network."""

    dtype: Dtype
    shape: tuple[int, ...]
    integers: tuple[int, ...] | None = None  # its values, if they are integers and few


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a network; its inputs and outputs are names of values."""

    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True, slots=True)
class Signature:
    """The inputs and outputs of a network."""

    inputs: Mapping[str, Dtype]  # the data type of each input by its name
    outputs: Mapping[str, Dtype]  # the data type of each output by its name
    # The width of the logits; None if the file does not declare it.
    num_classes: int | None = None


@dataclass(frozen=True, slots=True)
class ParsedNetwork:
    """A network as it is in its file."""

    nodes: tuple[Node, ...]  # in the order of the file
    constants: Mapping[str, Constant]  # the weights and other constants
    signature: Signature  # the inputs and outputs

    @property
    def operators(self) -> frozenset[str]:
        """The operator types of the nodes."""
        return frozenset(node.operator for node in self.nodes)


def parse_network(contents: bytes, features: int = 0) -> ParsedNetwork:
    """Reads a network that takes `input_ids` and `attention_mask`, and returns logits.

    With features it takes the numbers of sequences, `input_values`, in place of ids.

    Raises:
        NetworkError: The bytes are not ONNX, or contain anything that Gatewise does not write.
    """
    return _parse(contents, partial(_signature, features=features))


def parse_step_network(contents: bytes, features: int = 0) -> ParsedNetwork:
    """Reads a network that takes one token and states, and returns logits and the next states.

    With features it takes one vector, `input_values`, in place of the token.
    """
    return _parse(contents, partial(_step_signature, features=features))


def read_weights(contents: bytes, names: Container[str]) -> dict[str, NDArray[Any]]:
    """The constants of some names, of those that a network has; it was parsed before."""
    graph = Message(Message(memoryview(contents), _MODEL).bytes("graph"), _GRAPH)
    tensors = (Message(data, _TENSOR) for data in graph.list("initializer"))
    found = {}
    for tensor in tensors:
        if (name := str(tensor.bytes("name"), "ascii")) in names:
            dtype = DTYPES[tensor.integer("data_type")].newbyteorder("<")
            values = np.frombuffer(tensor.bytes("raw_data"), dtype)
            found[name] = values.reshape(tensor.integers("dims"))
    return found


def recurrent_part(contents: bytes) -> bytes:
    """The network without its linear path: the logits of the recurrent layers, by the same nodes.

    Args:
        contents: A network that `parse_network` accepts.

    Raises:
        NetworkError: It has no output layer, or several.
    """
    graph = Message(Message(memoryview(contents), _MODEL).bytes("graph"), _GRAPH)
    nodes = [(_node(data), data) for data in graph.list("node")]
    outputs = [node.outputs[0] for node, _ in nodes if "classifier.weight" in node.inputs]
    if len(outputs) != 1:
        raise NetworkError(f"expected one output layer, found {len(outputs)}")
    needed, kept = set(outputs), [_node_bytes("Identity", outputs[0], OUTPUT)]
    for node, data in reversed(nodes):
        if needed.intersection(node.outputs):
            needed.update(node.inputs)
            kept.append(bytes(data))
    parts: dict[str, Iterable[bytes | memoryview]] = {
        "node": kept[::-1],
        "name": [graph.bytes("name")],
        "initializer": [
            data
            for data in graph.list("initializer")
            if _name(Message(data, _TENSOR).bytes("name")) in needed
        ],
        "input": graph.list("input"),
        "output": graph.list("output"),
    }
    numbers = {field.name: number for number, field in _GRAPH.fields.items()}
    contents_of_graph = b"".join(
        encode_field(numbers[name], part) for name, each in parts.items() for part in each
    )
    # The fields ir_version, graph and opset_import of a model.
    return b"".join(
        (
            encode_field(1, IR_VERSION),
            encode_field(7, contents_of_graph),
            encode_field(8, encode_field(2, OPSET)),
        )
    )


def _node_bytes(operator: str, source: str, result: str) -> bytes:
    fields = {1: source, 2: result, 4: operator}  # input, output and op_type
    return b"".join(encode_field(number, name.encode()) for number, name in fields.items())


def _parse(contents: bytes, signature_of: Callable[[Message], Signature]) -> ParsedNetwork:
    try:
        model = Message(memoryview(contents), _MODEL)
        graph = Message(model.bytes("graph"), _GRAPH)
        _check_model(model, graph)
        signature = signature_of(graph)
        constants: dict[str, Constant] = {}
        for data in graph.list("initializer"):
            tensor = Message(data, _TENSOR)
            name = _name(tensor.bytes("name"))
            if name in constants:
                raise NetworkError(f"two constants are called {name}")
            constants[name] = _constant(name, tensor)
        return ParsedNetwork(tuple(map(_node, graph.list("node"))), constants, signature)
    except ProtobufError as error:
        raise NetworkError(f"not an ONNX file that Gatewise wrote: {error}") from None


def _check_model(model: Message, graph: Message) -> None:
    opsets = [Message(data, _OPSET) for data in model.list("opset_import")]
    found = [(_printable(opset.bytes("domain")), opset.integer("version")) for opset in opsets]
    if found != [("", OPSET)]:
        names = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in found[:4])
        raise NetworkError(f"expected only the opset ai.onnx {OPSET}, found {names or 'none'}")
    if model.integer("ir_version") != IR_VERSION:
        raise NetworkError(
            f"expected version {IR_VERSION} of the format, found {model.integer('ir_version')}"
        )
    nodes, constants = graph.list("node"), graph.list("initializer")
    if len(nodes) > _MAX_NODES or len(constants) > _MAX_CONSTANTS:
        raise NetworkError(
            f"expected at most {_MAX_NODES} nodes and {_MAX_CONSTANTS} constants, found "
            f"{len(nodes)} and {len(constants)}"
        )
    if (size := sum(map(len, nodes))) > _MAX_NODE_BYTES:
        raise NetworkError(f"expected nodes of at most {_MAX_NODE_BYTES} bytes, found {size}")


def _constant(name: str, tensor: Message) -> Constant:
    if "external_data" in tensor or "data_location" in tensor:
        raise NetworkError(f"the constant {name} is stored in another file")
    code, shape = tensor.integer("data_type"), tensor.integers("dims")
    if code not in DTYPES:
        raise NetworkError(f"the constant {name} has the data type {code}, which is not supported")
    if len(shape) > _MAX_DIMENSIONS or not all(size > 0 for size in shape):
        raise NetworkError(f"the constant {name} has the shape {_format_shape(shape)}")
    dtype, data, size = DTYPES[code], tensor.bytes("raw_data"), prod(shape)
    if len(data) != size * dtype.itemsize:
        raise NetworkError(
            f"the constant {name}: expected {size * dtype.itemsize} bytes by its shape, found "
            f"{len(data)}"
        )
    if dtype.kind != "i" or size > _MAX_INTEGERS:
        return Constant(dtype, shape)
    return Constant(dtype, shape, tuple(np.frombuffer(data, dtype.newbyteorder("<")).tolist()))


def _node(data: memoryview) -> Node:
    node = Message(data, _NODE)
    operator = _name(node.bytes("op_type"))
    if domain := _printable(node.bytes("domain")):
        raise NetworkError(f"the operator {operator} is of the domain {domain}, not of ONNX")
    attributes = {}
    for attribute_data in node.list("attribute"):
        attribute = Message(attribute_data, _ATTRIBUTE)
        key = _name(attribute.bytes("name"))
        if "g" in attribute or "graphs" in attribute:
            raise NetworkError(f"the operator {operator} contains a subgraph")
        if key in attributes:
            raise NetworkError(f"the operator {operator} has the attribute {key} twice")
        attributes[key] = _attribute(operator, key, attribute)
    return Node(
        operator,
        _name(node.bytes("name")) if "name" in node else "",
        tuple(map(_name, node.list("input"))),
        tuple(map(_name, node.list("output"))),
        attributes,
    )


def _attribute(operator: str, key: str, attribute: Message) -> Attribute:
    kind = attribute.integer("type")
    if kind == _INT:
        return attribute.integer("i")
    if kind == _INTS:
        return attribute.integers("ints")
    if kind == _STRING:
        return _name(attribute.bytes("s"))
    raise NetworkError(f"the operator {operator}: {key} is neither an integer, a list nor a string")


def _signature(graph: Message, features: int) -> Signature:
    """Checks that the graph takes ids, or numbers, and a mask of any size, and returns logits."""
    inputs, outputs = _values(graph, "input"), _values(graph, "output")
    input_names, output_names = sorted(name for name, _ in inputs), [name for name, _ in outputs]
    expected = [ATTENTION_MASK, INPUT_VALUES if features else INPUT_IDS]
    if input_names != expected or output_names != [OUTPUT]:
        raise NetworkError(
            f"expected inputs {' and '.join(expected)} and an output {OUTPUT}, found inputs "
            f"{_first_names(input_names)} and an output {_first_names(output_names)}"
        )
    for name, value in inputs:
        code, dimensions = _tensor_type(value)
        if name == INPUT_VALUES:
            is_float = DTYPES.get(code) == _FLOAT and len(dimensions) == 3
            if not is_float or dimensions[2].integer("dim_value") != features:
                raise NetworkError(
                    f"expected {name} to be 32-bit floats in three dimensions, the last {features}"
                )
            dimensions = dimensions[:2]
        elif DTYPES.get(code) != _INT64 or len(dimensions) != 2:
            raise NetworkError(f"expected {name} to be 64-bit integers in two dimensions")
        if any("dim_value" in dimension for dimension in dimensions):
            raise NetworkError(f"expected {name} to take any number of texts and tokens")
    dtypes = {name: _FLOAT if name == INPUT_VALUES else _INT64 for name in expected}
    return Signature(dtypes, {OUTPUT: _FLOAT}, _num_classes(outputs[0][1]))


def _step_signature(graph: Message, features: int) -> Signature:
    """Checks that the graph takes a token or a vector, and states, and returns their successors."""
    inputs, outputs = _values(graph, "input"), _values(graph, "output")
    output_names = [name for name, _ in outputs]
    token, states = [name for name, _ in inputs[:1]], [name for name, _ in inputs[1:]]
    next_states = [NEXT + name.removeprefix(STATE) for name in states]
    expected = INPUT_VALUES if features else INPUT_IDS
    if (
        token != [expected]
        or output_names != [OUTPUT, *next_states]
        or len(set(states)) < len(states)
    ):
        raise NetworkError(
            f"expected inputs {expected} and {STATE}… and outputs {OUTPUT} and {NEXT}…, found "
            f"inputs {_first_names([*token, *states])} and outputs {_first_names(output_names)}"
        )
    if len(states) > _MAX_STATES or not all(name.startswith(STATE) for name in states):
        raise NetworkError(
            f"expected at most {_MAX_STATES} states called {STATE}…, found {_first_names(states)}"
        )
    found = {name: _dtype_and_shape(name, value) for name, value in inputs}
    if features and found[expected] != (_FLOAT, (1, features)):
        raise NetworkError(f"expected {expected} to be {features} 32-bit floats for each sequence")
    if not features and found[expected] != (_INT64, (1,)):
        raise NetworkError(f"expected {expected} to be a 64-bit integer for each text")
    if sum(found[name][0].itemsize * prod(found[name][1]) for name in states) > _MAX_STATE_BYTES:
        raise NetworkError(f"expected states of at most {_MAX_STATE_BYTES:,} bytes together")
    dtypes = {name: dtype for name, (dtype, _) in found.items()}
    next_dtypes = {after: dtypes[name] for after, name in zip(next_states, states, strict=True)}
    return Signature(dtypes, {OUTPUT: _FLOAT, **next_dtypes}, _num_classes(outputs[0][1]))


def _num_classes(logits: Message) -> int | None:
    """The width of the logits; None if it is not declared."""
    code, dimensions = _tensor_type(logits)
    if DTYPES.get(code) != _FLOAT:
        raise NetworkError(f"expected {OUTPUT} to be 32-bit floats")
    if dimensions and len(dimensions) != 2:
        raise NetworkError(f"expected {OUTPUT} to have two dimensions, found {len(dimensions)}")
    return dimensions[1].integer("dim_value") or None if dimensions else None


def _dtype_and_shape(name: str, value: Message) -> tuple[Dtype, tuple[int, ...]]:
    """The data type of an input of a step network, and its shape with a batch of one."""
    code, dimensions = _tensor_type(value)
    dtype = DTYPES.get(code)
    if dtype not in (_INT64, _FLOAT) or not 0 < len(dimensions) <= _MAX_DIMENSIONS:
        raise NetworkError(f"expected {name} to be 64-bit integers or 32-bit floats")
    shape = tuple(dimension.integer("dim_value") for dimension in dimensions)
    symbols = [bytes(dimension.bytes("dim_param")) for dimension in dimensions]
    # The batch dimension has a symbol and no size; every other has a size and no symbol.
    if sorted(filter(None, symbols)) != [BATCH.encode()] or not all(
        (size == 0) if symbol else 0 < size <= _MAX_STATE_BYTES
        for size, symbol in zip(shape, symbols, strict=True)
    ):
        raise NetworkError(f"expected {name} to have one dimension {BATCH} and fixed other ones")
    return dtype, tuple(size or 1 for size in shape)


def _values(graph: Message, field: str) -> list[tuple[str, Message]]:
    values = (Message(data, _VALUE_INFO) for data in graph.list(field))
    return [(_name(value.bytes("name")), value) for value in values]


def _tensor_type(value: Message) -> tuple[int, list[Message]]:
    """The code of a tensor's data type, and its dimensions."""
    kind = Message(Message(value.bytes("type"), _TYPE).bytes("tensor_type"), _TENSOR_TYPE)
    dimensions = Message(kind.bytes("shape"), _SHAPE).list("dim")
    return kind.integer("elem_type"), [Message(data, _DIMENSION) for data in dimensions]


def _name(data: memoryview) -> str:
    """A name of 1 to 200 printable ASCII characters."""
    text = _printable(data)
    if not 0 < len(data) <= _MAX_NAME_LENGTH or text.encode() != data:
        raise NetworkError(
            f"expected names of 1 to {_MAX_NAME_LENGTH} printable ASCII characters, found "
            f"{text[:40]!r}"
        )
    return text


def _printable(data: memoryview) -> str:
    """A name for a message: cut, and with a question mark for what a terminal might interpret."""
    text = bytes(data[:_MAX_NAME_LENGTH]).decode("ascii", "replace")
    return "".join(character if " " <= character <= "~" else "?" for character in text)


def _format_shape(shape: Iterable[int]) -> str:
    return " x ".join(map(str, list(shape)[: _MAX_DIMENSIONS + 1])) or "-"


def _first_names(names: Sequence[str]) -> str:
    return " and ".join(names[:4]) or "none"
