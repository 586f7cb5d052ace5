"""Reading a body: chunks, limits, media types, errors."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from gatewise.service.serving.http.protocol import problems, request_body
from gatewise.service.serving.http.protocol.problems import ClientDisconnectedError, ProblemError


class Named(BaseModel):
    name: str


class Strict(Named):
    model_config = ConfigDict(extra="forbid")


class Connection:
    """Receives a body in chunks, and counts the messages."""

    def __init__(self, chunks: list[bytes], *, disconnects: bool = False) -> None:
        self.received = 0
        self._messages = self._play(chunks, disconnects)

    async def __call__(self) -> dict[str, Any]:
        self.received += 1
        return next(self._messages)

    @staticmethod
    def _play(chunks: list[bytes], disconnects: bool) -> Iterator[dict[str, Any]]:
        last = None if disconnects else len(chunks) - 1
        for index, chunk in enumerate(chunks):
            yield {"type": "http.request", "body": chunk, "more_body": index != last}
        yield {"type": "http.disconnect"}


def read(connection: Connection, limit: int = 100, **headers: str) -> Named:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return asyncio.run(
        request_body.read({"type": "http", "headers": raw}, connection, Named, limit)
    )


def read_strict(content: bytes) -> Strict:
    scope = {"type": "http", "headers": []}
    return asyncio.run(request_body.read(scope, Connection([content]), Strict, 1_000_000))


def test_chunks_are_joined() -> None:
    assert read(Connection([b'{"na', b"", b'me": "\xc3', b'\xa9"}'])).name == "é"


@pytest.mark.parametrize("length", ["101", "9" * 5000])
def test_a_declared_length_above_the_limit_is_not_read(length: str) -> None:
    connection = Connection([b"x"])
    with pytest.raises(ProblemError, match="at most 100 bytes") as refused:
        read(connection, content_length=length)
    assert refused.value.kind is problems.BODY_TOO_LARGE
    assert connection.received == 0


@pytest.mark.parametrize("length", ["5", "nonsense"])
def test_reading_stops_at_the_limit_whatever_the_declared_length(length: str) -> None:
    connection = Connection([b"x" * 60] * 1000)
    with pytest.raises(ProblemError, match="at most 100 bytes") as refused:
        read(connection, content_length=length)
    assert refused.value.kind is problems.BODY_TOO_LARGE
    assert connection.received == 2


def test_a_long_key_is_truncated() -> None:
    with pytest.raises(ProblemError) as refused:
        read_strict(b'{"name": "a", "%b": 1}' % (b"k" * 100_000))
    (place,) = refused.value.errors
    assert place.pointer.startswith("#/kkkkk")
    assert len(place.pointer) < 200


def test_a_body_of_many_errors_is_refused_without_listing_them() -> None:
    keys = ", ".join(f'"{number}": 1' for number in range(199))
    with pytest.raises(ProblemError, match="#: 200 errors"):
        read_strict(b"{%b}" % keys.encode())


def test_a_body_of_exactly_the_limit_is_taken() -> None:
    whole = b'{"name": "a"}'
    assert read(Connection([whole]), limit=len(whole)).name == "a"
    with pytest.raises(ProblemError, match="at most 12 bytes"):
        read(Connection([whole]), limit=len(whole) - 1)


@pytest.mark.parametrize(
    "headers",
    [
        {"content_type": "text/plain"},
        {"content_type": "application/jsonp"},
        {"content_type": ""},
        {"content_encoding": "gzip"},
    ],
)
def test_another_media_type_is_refused_before_reading(headers: dict[str, str]) -> None:
    connection = Connection([b'{"name": "a"}'])
    with pytest.raises(ProblemError) as refused:
        read(connection, **headers)
    assert refused.value.kind is problems.UNSUPPORTED_BODY
    assert connection.received == 0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content_type": "Application/JSON; charset=utf-8"},
        {"content_type": "application/vnd.something+json"},
        {"content_encoding": "identity"},
    ],
)
def test_every_media_type_of_json_is_accepted(headers: dict[str, str]) -> None:
    assert read(Connection([b'{"name": "a"}']), **headers).name == "a"


def test_a_client_that_disconnects() -> None:
    with pytest.raises(ClientDisconnectedError):
        read(Connection([b'{"na'], disconnects=True))
