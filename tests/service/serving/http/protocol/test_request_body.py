"""Reading a body: chunks, limits, media types, errors."""

import asyncio

import pytest
from pydantic import BaseModel, ConfigDict

from gatewise.service.serving.http.protocol import problems, request_body
from gatewise.service.serving.http.protocol.problems import ClientDisconnectedError, ProblemError

WHOLE = b'{"name": "a"}'


class Named(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str


class Client:
    """Sends a body in chunks, then disconnects; counts the messages that were received."""

    def __init__(self, *chunks, is_complete=True):
        self.received = 0
        self._messages = [
            {"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks
        ]
        self._messages[-1]["more_body"] = not is_complete
        self._messages.append({"type": "http.disconnect"})

    async def receive(self):
        self.received += 1
        return self._messages[self.received - 1]

    def read(self, limit=100, **headers):
        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "headers": raw}
        return asyncio.run(request_body.read(scope, self.receive, Named, limit)).name

    def refused(self, kind, **options):
        with pytest.raises(ProblemError) as refused:
            self.read(**options)
        assert refused.value.kind is kind
        return refused.value


def test_chunks_are_joined():
    assert Client(b'{"na', b"", b'me": "\xc3', b'\xa9"}').read() == "é"


def test_a_body_of_exactly_the_limit_is_taken():
    assert Client(WHOLE).read(limit=len(WHOLE)) == "a"
    refusal = Client(WHOLE).refused(problems.BODY_TOO_LARGE, limit=len(WHOLE) - 1)
    assert "at most 12 bytes" in refusal.detail


@pytest.mark.parametrize(
    ("length", "received"), [("101", 0), ("9" * 5000, 0), ("5", 2), ("nonsense", 2)]
)
def test_a_body_above_the_limit_is_read_no_further(length, received):
    client = Client(*[b"x" * 60] * 1000)
    client.refused(problems.BODY_TOO_LARGE, content_length=length)
    assert client.received == received


def test_the_errors_of_a_body_are_bounded():
    long = b'{"name": "a", "%b": 1}' % (b"k" * 100_000)
    (place,) = Client(long).refused(problems.INVALID_REQUEST, limit=1_000_000).errors
    assert place.pointer.startswith("#/kkkkk")
    assert len(place.pointer) < 200
    keys = ", ".join(f'"{number}": 1' for number in range(199))
    refusal = Client(b"{%b}" % keys.encode()).refused(problems.INVALID_REQUEST, limit=1_000_000)
    assert refusal.detail == "#: 200 errors in one body"


@pytest.mark.parametrize(
    "headers",
    [
        {"content_type": "text/plain"},
        {"content_type": "application/jsonp"},
        {"content_type": ""},
        {"content_encoding": "gzip"},
    ],
)
def test_another_media_type_is_refused_before_reading(headers):
    client = Client(WHOLE)
    client.refused(problems.UNSUPPORTED_BODY, **headers)
    assert client.received == 0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content_type": "Application/JSON; charset=utf-8"},
        {"content_type": "application/vnd.something+json"},
        {"content_encoding": "identity"},
    ],
)
def test_every_media_type_of_json_is_accepted(headers):
    assert Client(WHOLE).read(**headers) == "a"


def test_a_client_that_disconnects():
    with pytest.raises(ClientDisconnectedError):
        Client(b'{"na', is_complete=False).read()


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity"])
def test_numbers_that_json_does_not_have_are_refused(number):
    refusal = Client(b'{"name": "a", "b": ' + number + b"}").refused(problems.MALFORMED_BODY)
    assert "without NaN and Infinity: " in refusal.detail
    assert "a missing number is null" in refusal.detail
    in_text = b'{"name": "' + number + b'"}'
    assert Client(in_text).read() == number.decode()
