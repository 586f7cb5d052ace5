"""Headers of every answer."""

import asyncio
from typing import Any

import pytest
from gatewise.service.serving.http.middleware.headers import SECURITY_HEADERS, Cors, wrap

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
def test_every_answer_keeps_browsers_from_being_used(cors: Cors, origin: bytes | None) -> None:
    headers = answered(cors, [] if origin is None else [(b"origin", origin)])
    assert dict(SECURITY_HEADERS).items() <= headers.items()


def said(cors: Cors, origin: bytes | None) -> dict[bytes, bytes]:
    """What an answer says of the pages that may read it."""
    headers = answered(cors, [] if origin is None else [(b"origin", origin)])
    return {name: value for name, value in headers.items() if name not in dict(SECURITY_HEADERS)}


def test_only_listed_origins_may_read() -> None:
    for origin in ORIGINS:
        allowed = said(CORS[2], origin).get(b"access-control-allow-origin")
        assert allowed == (origin if origin == b"https://app.example" else None)
        assert said(CORS[2], origin)[b"vary"] == b"Origin"


def test_every_origin_may_read_where_all_may() -> None:
    for origin in ORIGINS[1:]:
        headers = said(CORS[1], origin)
        assert headers[b"access-control-allow-origin"] == b"*"
        assert b"Gatewise-Version" in headers[b"access-control-expose-headers"]


def test_nothing_is_said_to_pages_where_none_may_read() -> None:
    assert [said(CORS[0], origin) for origin in ORIGINS] == [{}] * len(ORIGINS)


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


@pytest.mark.parametrize("cors", CORS, ids=lambda cors: str(cors.origins))
def test_a_websocket_is_let_through_and_its_refusal_has_the_headers(cors: Cors) -> None:
    sent: list[Any] = []
    accepted = {"type": "websocket.accept", "headers": []}
    denied = {"type": "websocket.http.response.start", "status": 403, "headers": []}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(accepted)
        await send(denied)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(wrap(app, cors)({"type": "websocket"}, None, send))  # type: ignore[arg-type]
    assert sent == [accepted, {**denied, "headers": list(SECURITY_HEADERS)}]
