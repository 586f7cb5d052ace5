"""The security headers of every answer, and the pages of which origins may read it."""

import asyncio

import pytest

from gatewise.service.serving.http.middleware.headers import SECURITY_HEADERS, wrap

LISTED = ("https://app.example", "https://b.example")
ORIGINS = [
    *(None, b"https://app.example", b"https://app.example:443", b"https://other.example"),
    *(b"null", b"\xff", b""),
]


def headers_of(origins, origin, *own):
    """Returns the headers of an answer of a wrapped application with headers of its own."""
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": list(own)})
        await send({"type": "http.response.body", "body": b""})

    async def send(message):
        sent.append(message)

    headers = [] if origin is None else [(b"origin", origin)]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers}
    asyncio.run(wrap(app, origins)(scope, None, send))
    found = sent[0]["headers"]
    assert len({name for name, _ in found}) == len(found)
    return dict(found)


@pytest.mark.parametrize("origin", ORIGINS)
def test_only_pages_of_listed_origins_may_read_an_answer(origin):
    security = dict(SECURITY_HEADERS)
    assert headers_of((), origin) == security
    listed = headers_of(LISTED, origin)
    assert security.items() <= listed.items()
    allowed = origin if origin == b"https://app.example" else None
    assert listed.get(b"access-control-allow-origin") == allowed
    assert listed[b"vary"] == b"Origin"
    everyone = headers_of(("*",), origin)
    assert security.items() <= everyone.items()
    if origin is not None:
        assert everyone[b"access-control-allow-origin"] == b"*"
        assert b"Gatewise-Version" in everyone[b"access-control-expose-headers"]


def test_an_answer_keeps_its_own_headers():
    own = (b"content-security-policy", b"default-src 'self'")
    assert headers_of((), None, own) == dict(SECURITY_HEADERS) | dict([own])
