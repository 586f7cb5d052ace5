"""Headers of every answer, by middleware and by hand: the same."""

import asyncio
from typing import Any

import pytest

from service.http.headers import SECURITY_HEADERS, Cors, answer_headers, wrap

ORIGINS = [
    None,
    b"https://app.example",
    b"https://app.example:443",
    b"https://other.example",
    b"null",
    b"\xff",
    b"",
]
CORS = [Cors(), Cors(("*",)), Cors(("https://app.example", "https://b.example"))]


def answered(
    cors: Cors, headers: list[tuple[bytes, bytes]], method: str = "GET", *own: tuple[bytes, bytes]
) -> dict[bytes, bytes]:
    """The headers of an answer of a wrapped application that sends these of its own."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(own)})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": "/", "headers": headers}
    asyncio.run(wrap(app, cors)(scope, None, send))  # type: ignore[arg-type]
    found = sent[0]["headers"]
    assert len({name for name, _ in found}) == len(found)
    return dict(found)


@pytest.mark.parametrize("cors", CORS, ids=lambda cors: str(cors.origins))
@pytest.mark.parametrize("origin", ORIGINS, ids=str)
def test_by_hand_as_by_middleware(cors: Cors, origin: bytes | None) -> None:
    asked = [(b"host", b"here")] + ([] if origin is None else [(b"origin", origin)])
    by_hand = answer_headers(asked, cors)
    assert dict(by_hand) == answered(cors, asked)
    assert len(dict(by_hand)) == len(by_hand)


def test_only_listed_origins_may_read() -> None:
    said = {origin: dict(CORS[2].headers(origin)) for origin in ORIGINS}
    allowed = [b"access-control-allow-origin" in headers for headers in said.values()]
    assert allowed == [origin == b"https://app.example" for origin in ORIGINS]


def test_an_answer_keeps_what_it_says_itself() -> None:
    own = (b"Content-Security-Policy", b"default-src 'self'")
    headers = answered(Cors(), [], "GET", own)
    assert headers[own[0]] == own[1]
    assert set(headers) == {own[0]} | {name for name, _ in SECURITY_HEADERS[:1]} | {
        b"referrer-policy",
        b"x-content-type-options",
    }


def test_a_preflight_is_answered_without_asking_the_application() -> None:
    asked = [
        (b"origin", b"https://app.example"),
        (b"access-control-request-method", b"POST"),
        (b"access-control-request-headers", b"authorization,content-type,x-api-key"),
    ]
    headers = answered(CORS[2], asked, "OPTIONS", (b"x-application", b"was asked"))
    assert headers[b"access-control-allow-origin"] == b"https://app.example"
    assert b"POST" in headers[b"access-control-allow-methods"]
    assert b"x-application" not in headers
    assert headers[b"x-content-type-options"] == b"nosniff"
    without = answered(Cors(), asked, "OPTIONS", (b"x-application", b"was asked"))
    assert without[b"x-application"] == b"was asked"


def test_a_websocket_is_let_through_as_it_is() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["type"], receive, send))

    for cors in CORS:
        asyncio.run(wrap(app, cors)({"type": "websocket"}, "receive", "send"))  # type: ignore[arg-type]
    assert seen == [("websocket", "receive", "send")] * 3
