"""What the tests of the routes do not reach: reading a body, request by request."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from gatewise.service.serving.http.protocol import problems, request_body
from gatewise.service.serving.http.protocol.problems import ClientDisconnectedError, ProblemError
from pydantic import BaseModel, ConfigDict


class Named(BaseModel):
    name: str


class Strict(Named):
    model_config = ConfigDict(extra="forbid")


class Connection:
    """The receiving end of a request whose body comes in chunks; counts what was taken."""

    def __init__(self, chunks: list[bytes], *, breaks_off: bool = False) -> None:
        self.taken = 0
        self._messages = self._play(chunks, breaks_off)

    async def __call__(self) -> dict[str, Any]:
        self.taken += 1
        return next(self._messages)

    @staticmethod
    def _play(chunks: list[bytes], breaks_off: bool) -> Iterator[dict[str, Any]]:
        last = None if breaks_off else len(chunks) - 1
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


def test_a_body_in_chunks_is_put_together() -> None:
    assert read(Connection([b'{"na', b"", b'me": "\xc3', b'\xa9"}'])).name == "é"


@pytest.mark.parametrize("length", ["101", "1000", "9" * 5000])
def test_a_body_that_says_it_is_too_large_is_not_read(length: str) -> None:
    connection = Connection([b"x"])
    with pytest.raises(ProblemError, match="at most 100 bytes") as refused:
        read(connection, content_length=length)
    assert refused.value.kind is problems.BODY_TOO_LARGE
    assert connection.taken == 0


@pytest.mark.parametrize("length", ["5", "100", "nonsense"])
def test_reading_stops_at_the_limit_whatever_the_declared_length(length: str) -> None:
    connection = Connection([b"x" * 60] * 1000)
    with pytest.raises(ProblemError, match="at most 100 bytes") as refused:
        read(connection, content_length=length)
    assert refused.value.kind is problems.BODY_TOO_LARGE
    assert connection.taken == 2


def test_a_long_key_is_not_repeated() -> None:
    with pytest.raises(ProblemError) as refused:
        read_strict(b'{"name": "a", "%b": 1}' % (b"k" * 100_000))
    (place,) = refused.value.errors
    assert place.pointer.startswith("#/kkkkk")
    assert len(place.pointer) < 200


def test_more_mistakes_than_are_told_are_of_the_whole_body() -> None:
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
        {"content_type": "application/x-www-form-urlencoded"},
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
    assert connection.taken == 0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content_type": "application/json"},
        {"content_type": "Application/JSON; charset=utf-8"},
        {"content_type": "application/vnd.something+json"},
        {"content_encoding": "identity"},
    ],
)
def test_json_is_taken_by_all_its_names(headers: dict[str, str]) -> None:
    assert read(Connection([b'{"name": "a"}']), **headers).name == "a"


def test_a_connection_that_breaks_off_is_no_failure_of_the_service() -> None:
    with pytest.raises(ClientDisconnectedError):
        read(Connection([b'{"na'], breaks_off=True))
