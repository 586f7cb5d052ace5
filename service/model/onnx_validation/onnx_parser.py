"""What is in an ONNX file, read from its bytes before any runtime sees them.

Owns which parts of the format a network of Gatewise is made of; whatever else is in a file refuses
it, for it could reach outside of the file or run for ever. Knows no operator by name.

Source of the fields and their numbers: onnx.proto of the ONNX specification
(https://onnx.ai/onnx/repo-docs/IR.html).
"""

from collections.abc import Callable, Iterable

import numpy as np
from gatewise.service.model.errors import NetworkError
from gatewise.service.model.onnx_validation import graph_io
from gatewise.service.model.onnx_validation.onnx_names import name_of, shown
from gatewise.service.model.onnx_validation.parsed_network import (
    IR_VERSION,
    MOST_DIMENSIONS,
    OPSET,
    TYPES,
    Attribute,
    Ends,
    Node,
    ParsedNetwork,
    Value,
)
from gatewise.service.model.onnx_validation.protobuf_reader import (
    Field,
    Message,
    MessageSchema,
    ProtobufError,
)

_INT, _STRING, _INTS = 2, 3, 7  # AttributeProto.AttributeType

_MOST_NODES = 2000
_MOST_CONSTANTS = 4000
_MOST_NODE_BYTES = 1024 * 1024
_MOST_PARTS = _MOST_NODES + _MOST_CONSTANTS + 8
# Only the numbers of constants as short as the divisors of n-grams are looked at.
_MOST_INTEGERS = 64

_MODEL = MessageSchema(
    "the model",
    {
        1: Field("ir_version", "integer"),
        2: Field("producer_name", "bytes"),
        7: Field("graph", "bytes"),
        8: Field("opset_import", "list"),
        20: Field("training_info", "list"),
        25: Field("functions", "list"),
    },
    most=_MOST_PARTS,
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
        15: Field("sparse_initializer", "list"),
    },
    most=_MOST_PARTS,
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


def read(contents: bytes) -> ParsedNetwork:
    """Reads a network: plain nodes and constants between the two inputs and the logits.

    Raises:
        NetworkError: If it is no ONNX file, or holds what no network of Gatewise does.
    """
    return _read(contents, graph_io.of_texts)


def read_step(contents: bytes) -> ParsedNetwork:
    """Reads a network that takes one token and a state, and gives logits and a new state.

    Raises:
        NetworkError: If it is no ONNX file, or holds what no network of Gatewise does.
    """
    return _read(contents, graph_io.of_one_token)


def _read(contents: bytes, ends_of: Callable[[Message], Ends]) -> ParsedNetwork:
    try:
        model = Message(memoryview(contents), _MODEL)
        graph = Message(model.bytes("graph"), _GRAPH)
        _check_model(model, graph)
        its_ends = ends_of(graph)
        constants: dict[str, Value] = {}
        for part in graph.list("initializer"):
            tensor = Message(part, _TENSOR)
            name = name_of(tensor.bytes("name"))
            if name in constants:
                raise NetworkError(f"two constants are called {name}")
            constants[name] = _constant(name, tensor)
        return ParsedNetwork(tuple(map(_node, graph.list("node"))), constants, its_ends)
    except ProtobufError as error:
        raise NetworkError(f"not an ONNX file that Gatewise wrote: {error}") from None


def _check_model(model: Message, graph: Message) -> None:
    for message, part, what in (
        (model, "functions", "functions of its own"),
        (model, "training_info", "a part that trains it"),
        (graph, "sparse_initializer", "sparse constants"),
    ):
        if part in message:
            raise NetworkError(f"it holds {what}, which no network of Gatewise does")
    opsets = [Message(part, _OPSET) for part in model.list("opset_import")]
    told = [(shown(opset.bytes("domain")), opset.integer("version")) for opset in opsets]
    if told != [("", OPSET)]:
        found = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in told[:4])
        raise NetworkError(f"expected the opset ai.onnx {OPSET} alone, found {found or 'none'}")
    if model.integer("ir_version") != IR_VERSION:
        raise NetworkError(
            f"expected version {IR_VERSION} of the format, found {model.integer('ir_version')}"
        )
    nodes, constants = graph.list("node"), graph.list("initializer")
    if len(nodes) > _MOST_NODES or len(constants) > _MOST_CONSTANTS:
        raise NetworkError(
            f"expected at most {_MOST_NODES} nodes and {_MOST_CONSTANTS} constants, found "
            f"{len(nodes)} and {len(constants)}"
        )
    if (size := sum(map(len, nodes))) > _MOST_NODE_BYTES:
        raise NetworkError(f"expected nodes of at most {_MOST_NODE_BYTES} bytes, found {size}")


def _constant(name: str, tensor: Message) -> Value:
    if "external_data" in tensor or "data_location" in tensor:
        raise NetworkError(f"the constant {name} is kept in another file")
    code, shape = tensor.integer("data_type"), tensor.integers("dims")
    if code not in TYPES:
        raise NetworkError(f"the constant {name} has numbers of a type that has no use here")
    if len(shape) > MOST_DIMENSIONS or not all(size > 0 for size in shape):
        raise NetworkError(f"the constant {name} has the shape {_shortened(shape)}")
    value, data = Value(TYPES[code], shape), tensor.bytes("raw_data")
    if len(data) != value.bytes:
        raise NetworkError(
            f"the constant {name} has {len(data)} bytes, of its shape are {value.bytes}"
        )
    if value.type.kind != "i" or value.size > _MOST_INTEGERS:
        return value
    numbers = np.frombuffer(data, value.type.newbyteorder("<"))
    return Value(value.type, shape, tuple(numbers.tolist()))


def _node(part: memoryview) -> Node:
    node = Message(part, _NODE)
    operator = name_of(node.bytes("op_type"))
    if domain := shown(node.bytes("domain")):
        raise NetworkError(f"its operator {operator} is not ONNX's own but of {domain}")
    attributes = {}
    for inner in node.list("attribute"):
        attribute = Message(inner, _ATTRIBUTE)
        key = name_of(attribute.bytes("name"))
        if "g" in attribute or "graphs" in attribute:
            raise NetworkError(f"its operator {operator} holds a graph of its own")
        if key in attributes:
            raise NetworkError(f"its operator {operator} has {key} twice")
        attributes[key] = _attribute(operator, key, attribute)
    return Node(
        operator,
        name_of(node.bytes("name")) if "name" in node else "",
        tuple(map(name_of, node.list("input"))),
        tuple(map(name_of, node.list("output"))),
        attributes,
    )


def _attribute(operator: str, key: str, attribute: Message) -> Attribute:
    kind = attribute.integer("type")
    if kind == _INT:
        return attribute.integer("i")
    if kind == _INTS:
        return attribute.integers("ints")
    if kind == _STRING:
        return name_of(attribute.bytes("s"))
    raise NetworkError(f"{key} of its operator {operator} is neither integers nor a word")


def _shortened(shape: Iterable[int]) -> str:
    return " x ".join(map(str, list(shape)[: MOST_DIMENSIONS + 1])) or "-"
