"""The reader decodes the fields of a schema and refuses everything else."""

import pytest

from gatewise.service.model.onnx_validation.protobuf_reader import (
    Field,
    Message,
    MessageSchema,
    ProtobufError,
)

SCHEMA = MessageSchema(
    "a message",
    {
        1: Field("count", "integer"),
        2: Field("name", "bytes"),
        3: Field("sizes", "integers"),
        4: Field("parts", "list"),
    },
    max_fields=5,
)


def read(data):
    return Message(memoryview(data), SCHEMA)


def test_fields_are_read():
    message = read(b"\x08\x96\x01" + b"\x12\x02hi" + b"\x18\x05" + b"\x22\x01a" + b"\x22\x00")
    assert message.integer("count") == 150
    assert bytes(message.bytes("name")) == b"hi"
    assert message.integers("sizes") == (5,)
    assert list(map(bytes, message.list("parts"))) == [b"a", b""]


def test_absent_fields_are_empty():
    message = read(b"")
    assert (message.integer("count"), bytes(message.bytes("name"))) == (0, b"")
    assert (message.integers("sizes"), message.list("parts")) == ((), ())
    assert "count" not in message


def test_integers_may_be_negative_and_packed():
    minus_one = b"\xff" * 9 + b"\x01"
    assert read(b"\x08" + minus_one).integer("count") == -1
    assert read(b"\x1a\x0c\x01\x02" + minus_one).integers("sizes") == (1, 2, -1)


def test_nothing_is_copied():
    data = bytearray(b"\x12\x02hi")
    name = Message(memoryview(data), SCHEMA).bytes("name")
    data[2:] = b"ho"
    assert bytes(name) == b"ho"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x28\x01", "unexpected field 5"),
        (b"\x0d\x00\x00\x00\x00", "unexpected field 1"),
        (b"\x08\x01\x08\x01", "count occurs twice"),
        (b"\x0a\x00", "count has another wire type"),
        (b"\x10\x01", "name has another wire type"),
        (b"\x08\x80", "is truncated"),
        (b"\x12\x03hi", "is truncated"),
        (b"\x08" + b"\xff" * 9 + b"\x02", "more than 64 bits"),
        (b"\x08" + b"\x80" * 10 + b"\x01", "more than 64 bits"),
        (b"\x18\x01" * 6, "at most 5 fields"),
        (b"\x1a\x06" + b"\x01" * 6, "at most 5 integers in sizes"),
    ],
)
def test_invalid_message_is_refused(data, reason):
    with pytest.raises(ProtobufError, match=f"a message: .*{reason}"):
        read(data)
