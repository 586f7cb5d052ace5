"""The wire format is read as Protocol Buffers' own reader does, or refused."""

import pytest
from gatewise.service.model.onnx_validation.protobuf_reader import (
    Field,
    Message,
    MessageSchema,
    ProtobufError,
)

FORM = MessageSchema(
    "a thing",
    {
        1: Field("count", "integer"),
        2: Field("name", "bytes"),
        3: Field("sizes", "integers"),
        4: Field("parts", "list"),
    },
    most=5,
)


def read(data: bytes) -> Message:
    return Message(memoryview(data), FORM)


def test_fields_are_read():
    message = read(b"\x08\x96\x01" + b"\x12\x02hi" + b"\x18\x05" + b"\x22\x01a" + b"\x22\x00")
    assert message.integer("count") == 150
    assert bytes(message.bytes("name")) == b"hi"
    assert message.integers("sizes") == (5,)
    assert list(map(bytes, message.list("parts"))) == [b"a", b""]


def test_what_is_not_there_is_empty():
    message = read(b"")
    assert (message.integer("count"), bytes(message.bytes("name"))) == (0, b"")
    assert (message.integers("sizes"), message.list("parts")) == ((), ())
    assert "count" not in message


def test_integers_may_be_below_zero_and_packed():
    minus_one = b"\xff" * 9 + b"\x01"
    assert read(b"\x08" + minus_one).integer("count") == -1
    assert read(b"\x1a\x0c\x01\x02" + minus_one).integers("sizes") == (1, 2, -1)


def test_nothing_is_copied():
    data = bytearray(b"\x12\x02hi")
    name = Message(memoryview(data), FORM).bytes("name")
    data[2:] = b"ho"
    assert bytes(name) == b"ho"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x28\x01", "field 5 is not expected"),
        (b"\x0d\x00\x00\x00\x00", "field 1 is not expected"),
        (b"\x0b\x0c", "field 1 is not expected"),
        (b"\x08\x01\x08\x01", "count occurs twice"),
        (b"\x12\x00\x12\x00", "name occurs twice"),
        (b"\x0a\x00", "count is of another kind"),
        (b"\x10\x01", "name is of another kind"),
        (b"\x08", "ends too soon"),
        (b"\x08\x80", "ends too soon"),
        (b"\x12\x03hi", "ends too soon"),
        (b"\x12" + b"\xff" * 9 + b"\x01", "ends too soon"),
        (b"\x08" + b"\xff" * 9 + b"\x02", "more than 64 bits"),
        (b"\x08" + b"\x80" * 10 + b"\x01", "more than 64 bits"),
        (b"\x18\x01" * 6, "at most 5 fields"),
        (b"\x1a\x06" + b"\x01" * 6, "at most 5 integers as sizes"),
    ],
)
def test_what_another_reader_might_read_otherwise_is_refused(data, reason):
    with pytest.raises(ProtobufError, match=f"a thing: .*{reason}"):
        read(data)
