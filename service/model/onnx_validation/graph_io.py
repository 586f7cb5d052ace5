"""What goes into a network and what comes out of it, by the ends of its graph.

A network of Gatewise reads whole texts, or one token of a text at a time; each of the two has one
set of inputs and outputs.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from gatewise.service.model.errors import NetworkError
from gatewise.service.model.onnx_validation.onnx_names import name_of
from gatewise.service.model.onnx_validation.parsed_network import (
    BATCH,
    INPUTS,
    MOST_DIMENSIONS,
    NEXT,
    OUTPUT,
    STATE,
    TOKEN,
    TYPES,
    Ends,
)
from gatewise.service.model.onnx_validation.protobuf_reader import Field, Message, MessageSchema

_INT64, _FLOAT = np.dtype(np.int64), np.dtype(np.float32)
_MOST_STATES = 32
# As many numbers as a state of the longest texts has, and room for more.
_MOST_STATE_BYTES = 8 * 2**20

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


def of_texts(graph: Message) -> Ends:
    """The ends of a network that takes texts and their mask and gives logits.

    Raises:
        NetworkError: If its inputs or outputs are others.
    """
    inputs, outputs = _named(graph, "input"), _named(graph, "output")
    names = sorted(name for name, _ in inputs), [name for name, _ in outputs]
    if names != (list(INPUTS), [OUTPUT]):
        found = [" and ".join(some[:4]) or "none" for some in names]
        raise NetworkError(
            f"expected inputs {' and '.join(INPUTS)} and an output {OUTPUT}, found inputs "
            f"{found[0]} and an output {found[1]}"
        )
    for name, value in inputs:
        code, dimensions = _tensor(value)
        if TYPES.get(code) != _INT64 or len(dimensions) != 2:
            raise NetworkError(f"expected {name} to be 64-bit integers in two dimensions")
        if any("dim_value" in dimension for dimension in dimensions):
            raise NetworkError(f"expected {name} to take any number of texts and tokens")
    return Ends(dict.fromkeys(INPUTS, _INT64), {OUTPUT: _FLOAT}, _classes(outputs[0][1]))


def of_one_token(graph: Message) -> Ends:
    """The ends of a network that takes one token and states, and gives logits and new states.

    Raises:
        NetworkError: If its inputs or outputs are others than a token, states and logits, or the
            states have no size of their own, or too large a one.
    """
    inputs = _named(graph, "input")
    results = _named(graph, "output")
    outputs = [name for name, _ in results]
    first, names = [name for name, _ in inputs[:1]], [name for name, _ in inputs[1:]]
    after = [NEXT + name.removeprefix(STATE) for name in names]
    if first != [TOKEN] or outputs != [OUTPUT, *after] or len(set(names)) < len(names):
        raise NetworkError(
            f"expected inputs {TOKEN} and {STATE}… and outputs {OUTPUT} and {NEXT}…, found inputs "
            f"{_few([*first, *names])} and outputs {_few(outputs)}"
        )
    if len(names) > _MOST_STATES or not all(name.startswith(STATE) for name in names):
        raise NetworkError(
            f"expected at most {_MOST_STATES} states called {STATE}…, found {_few(names)}"
        )
    found = {name: _of_one_text(name, value) for name, value in inputs}
    if found[TOKEN] != (_INT64, (1,)):
        raise NetworkError(f"expected {TOKEN} to be a 64-bit integer for each text")
    if sum(found[name][0].itemsize * prod(found[name][1]) for name in names) > _MOST_STATE_BYTES:
        raise NetworkError(f"expected states of at most {_MOST_STATE_BYTES:,} bytes together")
    types = {name: kind for name, (kind, _) in found.items()}
    states = dict(zip(after, (types[name] for name in names), strict=True))
    return Ends(types, {OUTPUT: _FLOAT, **states}, _classes(results[0][1]))


def _classes(logits: Message) -> int | None:
    """The width of the logits; None where it is not told."""
    code, dimensions = _tensor(logits)
    if TYPES.get(code) != _FLOAT:
        raise NetworkError(f"expected {OUTPUT} to be 32-bit floats")
    if dimensions and len(dimensions) != 2:
        raise NetworkError(f"expected {OUTPUT} to have two dimensions, found {len(dimensions)}")
    return dimensions[1].integer("dim_value") or None if dimensions else None


def _of_one_text(name: str, value: Message) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """The type of an input, and its shape for one text."""
    code, dimensions = _tensor(value)
    kind = TYPES.get(code)
    if kind not in (_INT64, _FLOAT) or not 0 < len(dimensions) <= MOST_DIMENSIONS:
        raise NetworkError(f"expected {name} to be 64-bit integers or 32-bit floats")
    shape = tuple(dimension.integer("dim_value") for dimension in dimensions)
    batches = [bytes(dimension.bytes("dim_param")) for dimension in dimensions]
    # One dimension is the texts, and has no number; the others have one and no name.
    if sorted(filter(None, batches)) != [BATCH.encode()] or not all(
        (size == 0) if batch else 0 < size <= _MOST_STATE_BYTES
        for size, batch in zip(shape, batches, strict=True)
    ):
        raise NetworkError(f"expected {name} to have a size for each text and {BATCH} texts")
    return kind, tuple(size or 1 for size in shape)


def _named(graph: Message, side: str) -> list[tuple[str, Message]]:
    values = (Message(part, _VALUE_INFO) for part in graph.list(side))
    return [(name_of(value.bytes("name")), value) for value in values]


def _tensor(value: Message) -> tuple[int, list[Message]]:
    """The code of a tensor's type, and its dimensions."""
    kind = Message(Message(value.bytes("type"), _TYPE).bytes("tensor_type"), _TENSOR_TYPE)
    dimensions = Message(kind.bytes("shape"), _SHAPE).list("dim")
    return kind.integer("elem_type"), [Message(part, _DIMENSION) for part in dimensions]


def _few(names: Sequence[str]) -> str:
    return " and ".join(names[:4]) or "none"
