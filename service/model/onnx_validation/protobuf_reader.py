"""A strict reader of Protocol Buffers: only the fields of a schema, each of its declared kind.

A field that the schema lacks, a repeated field that is not a list, and truncated data are errors,
so what this reader finds is all that any other reader finds. Nothing is copied; nested messages
stay bytes until they are read, so there is no recursion. `encode_field` writes a field.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Literal, NamedTuple

Kind = Literal["integer", "bytes", "integers", "list"]
"""An integer, a byte string, a repeated integer, a repeated byte string."""

_VARINT, _LENGTH_DELIMITED = 0, 2
_PAYLOAD_BITS = 0x7F


class ProtobufError(Exception):
    """Bytes that do not match the schema."""


class Field(NamedTuple):
    """A field of a message schema."""

    name: str
    kind: Kind


class MessageSchema(NamedTuple):
    """The schema of a message."""

    name: str  # the name of the message in errors
    fields: Mapping[int, Field]  # the allowed fields by number
    max_fields: int = 64  # the largest number of fields in a message, and of integers in a field


class Message:
    """The fields of one message."""

    def __init__(self, data: memoryview, schema: MessageSchema) -> None:
        self._integers: dict[str, list[int]] = {}
        self._byte_strings: dict[str, list[memoryview]] = {}
        try:
            for count, (number, value) in enumerate(_fields(data)):
                self._add(schema, count, number, value)
        except ProtobufError as error:
            raise ProtobufError(f"{schema.name}: {error}") from None

    def _add(self, schema: MessageSchema, count: int, number: int, value: int | memoryview) -> None:
        if count == schema.max_fields:
            raise ProtobufError(f"expected at most {schema.max_fields} fields")
        if number not in schema.fields:
            raise ProtobufError(f"unexpected field {number}")
        name, kind = schema.fields[number]
        if isinstance(value, memoryview) and kind == "integers":
            integers = list(islice(_packed(value), schema.max_fields + 1))
            if len(integers) > schema.max_fields:
                raise ProtobufError(f"expected at most {schema.max_fields} integers in {name}")
            self._integers.setdefault(name, []).extend(integers)
            return
        if isinstance(value, int) != (kind in ("integer", "integers")):
            raise ProtobufError(f"{name} has another wire type than expected")
        if kind in ("integer", "bytes") and name in self:
            raise ProtobufError(f"{name} occurs twice")
        if isinstance(value, int):
            self._integers.setdefault(name, []).append(value)
        else:
            self._byte_strings.setdefault(name, []).append(value)

    def __contains__(self, name: str) -> bool:
        return name in self._integers or name in self._byte_strings

    def integer(self, name: str) -> int:
        """The value of an integer field; 0 if it is absent."""
        return self._integers.get(name, [0])[0]

    def integers(self, name: str) -> tuple[int, ...]:
        """The values of a repeated integer field."""
        return tuple(self._integers.get(name, ()))

    def bytes(self, name: str) -> memoryview:
        """The value of a bytes field; empty if it is absent."""
        return self._byte_strings.get(name, [memoryview(b"")])[0]

    def list(self, name: str) -> tuple[memoryview, ...]:
        """The values of a repeated bytes field."""
        return tuple(self._byte_strings.get(name, ()))


def encode_field(number: int, value: int | bytes | memoryview) -> bytes:
    r"""A field of a message: a small integer that is not negative, or bytes.

    >>> encode_field(1, 300)
    b'\x08\xac\x02'
    """
    if isinstance(value, int):
        return _as_varint(number << 3 | _VARINT) + _as_varint(value)
    return _as_varint(number << 3 | _LENGTH_DELIMITED) + _as_varint(len(value)) + bytes(value)


def _as_varint(value: int) -> bytes:
    varint = bytearray()
    while value > _PAYLOAD_BITS:
        varint.append(value & _PAYLOAD_BITS | _PAYLOAD_BITS + 1)
        value >>= 7
    return bytes([*varint, value])


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, kind = tag >> 3, tag & 7
        value, position = _varint(data, position)
        if kind == _VARINT:
            yield number, _signed(value)
        elif kind == _LENGTH_DELIMITED:
            if value > len(data) - position:
                raise ProtobufError("it is truncated")
            yield number, data[position : position + value]
            position += value
        else:
            raise ProtobufError(f"unexpected field {number}")


def _packed(data: memoryview) -> Iterator[int]:
    position = 0
    while position < len(data):
        value, position = _varint(data, position)
        yield _signed(value)


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """Reads an unsigned 64-bit integer; returns it and the position after it."""
    value = 0
    for shift in range(0, 64, 7):
        if position >= len(data):
            raise ProtobufError("it is truncated")
        byte = data[position]
        position += 1
        value |= (byte & _PAYLOAD_BITS) << shift
        if byte <= _PAYLOAD_BITS:
            if value >> 64:
                break
            return value, position
    raise ProtobufError("an integer has more than 64 bits")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
