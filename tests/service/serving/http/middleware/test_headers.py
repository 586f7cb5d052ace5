"""The security headers of every answer, and CORS."""

import asyncio
from typing import Any

import pytest

from gatewise.service.serving.http.middleware.headers import SECURITY_HEADERS, wrap

ORIGINS = [
    None,
    b"https://app.example",
    b"https://app.example:443",
    b"https://other.example",
    b"null",
    b"\xff",
    b"",
]
CORS: list[tuple[str, ...]] = [(), ("*",), ("https://app.example", "https://b.example")]


def headers_of(
    origins: tuple[str, ...],
    headers: list[tuple[bytes, bytes]],
    method: str = "GET",
    *own: tuple[bytes, bytes],
) -> dict[bytes, bytes]:
    """Returns the headers of an answer of a wrapped application with headers of its own."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(own)})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": "/", "headers": headers}
    asyncio.run(wrap(app, origins)(scope, None, send))  # type: ignore[arg-type]
    found = sent[0]["headers"]
    assert len({name for name, _ in found}) == len(found)
    return dict(found)


@pytest.mark.parametrize("origins", CORS, ids=str)
@pytest.mark.parametrize("origin", ORIGINS, ids=str)
def test_every_answer_has_the_security_headers(
    origins: tuple[str, ...], origin: bytes | None
) -> None:
    headers = headers_of(origins, [] if origin is None else [(b"origin", origin)])
    assert dict(SECURITY_HEADERS).items() <= headers.items()


def cors_headers(origins: tuple[str, ...], origin: bytes | None) -> dict[bytes, bytes]:
    """Returns the headers about the pages that may read an answer."""
    headers = headers_of(origins, [] if origin is None else [(b"origin", origin)])
    return {name: value for name, value in headers.items() if name not in dict(SECURITY_HEADERS)}


def test_only_listed_origins_may_read() -> None:
    for origin in ORIGINS:
        allowed = cors_headers(CORS[2], origin).get(b"access-control-allow-origin")
        assert allowed == (origin if origin == b"https://app.example" else None)
        assert cors_headers(CORS[2], origin)[b"vary"] == b"Origin"


def test_a_star_allows_every_origin() -> None:
    for origin in ORIGINS[1:]:
        headers = cors_headers(CORS[1], origin)
        assert headers[b"access-control-allow-origin"] == b"*"
        assert b"Gatewise-Version" in headers[b"access-control-expose-headers"]


def test_without_origins_there_are_no_cors_headers() -> None:
    assert [cors_headers(CORS[0], origin) for origin in ORIGINS] == [{}] * len(ORIGINS)


def test_an_answer_keeps_its_own_headers() -> None:
    own = (b"Content-Security-Policy", b"default-src 'self'")
    headers = headers_of((), [], "GET", own)
    assert headers[own[0]] == own[1]
    assert set(headers) == {own[0]} | {name for name, _ in SECURITY_HEADERS[:1]} | {
        b"referrer-policy",
        b"x-content-type-options",
    }


def test_a_preflight_request_does_not_reach_the_application() -> None:
    preflight = [
        (b"origin", b"https://app.example"),
        (b"access-control-request-method", b"POST"),
        (b"access-control-request-headers", b"authorization,content-type,x-api-key"),
    ]
    headers = headers_of(CORS[2], preflight, "OPTIONS", (b"x-application", b"was asked"))
    assert headers[b"access-control-allow-origin"] == b"https://app.example"
    assert b"POST" in headers[b"access-control-allow-methods"]
    assert b"x-application" not in headers
    assert headers[b"x-content-type-options"] == b"nosniff"
    without = headers_of((), preflight, "OPTIONS", (b"x-application", b"was asked"))
    assert without[b"x-application"] == b"was asked"


@pytest.mark.parametrize("origins", CORS, ids=str)
def test_the_refusal_of_a_websocket_has_the_headers(origins: tuple[str, ...]) -> None:
    sent: list[Any] = []
    accepted = {"type": "websocket.accept", "headers": []}
    denied = {"type": "websocket.http.response.start", "status": 403, "headers": []}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(accepted)
        await send(denied)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(wrap(app, origins)({"type": "websocket"}, None, send))  # type: ignore[arg-type]
    assert sent == [accepted, {**denied, "headers": list(SECURITY_HEADERS)}]
