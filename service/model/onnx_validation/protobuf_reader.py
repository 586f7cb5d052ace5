"""Protocol Buffers as bytes, read strictly: only the fields that are told, each of its own kind.

Nothing is copied and nothing is passed over. A field that is not told, that comes twice without
being a list, or whose bytes end too soon is an error, so what was read is all that any other
reader finds. Messages inside messages stay bytes until they are asked for: there is no depth to
run out of. Knows no message by name.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Literal, NamedTuple

Kind = Literal["integer", "bytes", "integers", "list"]
"""One integer, one stretch of bytes, a list of the first, a list of the second."""

_VARINT, _BYTES = 0, 2
_LAST = 0x7F


class ProtobufError(Exception):
    """Bytes that are no such message; the message says why."""


class Field(NamedTuple):
    """A field that may occur in a message."""

    name: str
    kind: Kind


class MessageSchema(NamedTuple):
    """What a message may hold.

    Attributes:
        name: What it is called in an error.
        fields: The fields that it may have, by number.
        most: How many fields it may have, and integers in one of them.
    """

    name: str
    fields: Mapping[int, Field]
    most: int = 64


class Message:
    """The fields of one message.

    Args:
        data: Its bytes.
        form: What it may hold.

    Raises:
        ProtobufError: If the bytes are no message of that form.
    """

    def __init__(self, data: memoryview, form: MessageSchema) -> None:
        self._integers: dict[str, list[int]] = {}
        self._stretches: dict[str, list[memoryview]] = {}
        try:
            for count, (number, value) in enumerate(_fields(data)):
                self._add(form, count, number, value)
        except ProtobufError as error:
            raise ProtobufError(f"{form.name}: {error}") from None

    def _add(self, form: MessageSchema, count: int, number: int, value: int | memoryview) -> None:
        if count == form.most:
            raise ProtobufError(f"expected at most {form.most} fields")
        if number not in form.fields:
            raise ProtobufError(f"field {number} is not expected")
        name, kind = form.fields[number]
        if isinstance(value, memoryview) and kind == "integers":
            integers = list(islice(_packed(value), form.most + 1))
            if len(integers) > form.most:
                raise ProtobufError(f"expected at most {form.most} integers as {name}")
            self._integers.setdefault(name, []).extend(integers)
            return
        if isinstance(value, int) != (kind in ("integer", "integers")):
            raise ProtobufError(f"{name} is of another kind than expected")
        if kind in ("integer", "bytes") and name in self:
            raise ProtobufError(f"{name} occurs twice")
        if isinstance(value, int):
            self._integers.setdefault(name, []).append(value)
        else:
            self._stretches.setdefault(name, []).append(value)

    def __contains__(self, name: str) -> bool:
        return name in self._integers or name in self._stretches

    def integer(self, name: str) -> int:
        """An integer; 0 if it is not there."""
        return self._integers.get(name, [0])[0]

    def integers(self, name: str) -> tuple[int, ...]:
        """A list of integers."""
        return tuple(self._integers.get(name, ()))

    def bytes(self, name: str) -> memoryview:
        """A stretch of bytes; an empty one if it is not there."""
        return self._stretches.get(name, [memoryview(b"")])[0]

    def list(self, name: str) -> tuple[memoryview, ...]:
        """A list of stretches of bytes."""
        return tuple(self._stretches.get(name, ()))


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, kind = tag >> 3, tag & 7
        value, position = _varint(data, position)
        if kind == _VARINT:
            yield number, _signed(value)
        elif kind == _BYTES:
            if value > len(data) - position:
                raise ProtobufError("it ends too soon")
            yield number, data[position : position + value]
            position += value
        else:
            raise ProtobufError(f"field {number} is not expected")


def _packed(data: memoryview) -> Iterator[int]:
    position = 0
    while position < len(data):
        value, position = _varint(data, position)
        yield _signed(value)


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """An unsigned integer of 64 bits, seven to a byte, and where the next thing begins."""
    value = 0
    for shift in range(0, 64, 7):
        if position >= len(data):
            raise ProtobufError("it ends too soon")
        byte = data[position]
        position += 1
        value |= (byte & _LAST) << shift
        if byte <= _LAST:
            if value >> 64:
                break
            return value, position
    raise ProtobufError("an integer has more than 64 bits")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
