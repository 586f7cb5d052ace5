"""Headers of every answer: those that keep a browser from being used against the service, and CORS.

Owns what they say. Knows no route.
"""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Header = tuple[bytes, bytes]

SECURITY_HEADERS: tuple[Header, ...] = (
    # An answer is about somebody's text: no cache on the way shall keep it.
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
"""Of every answer that does not say otherwise itself."""

_STARTS = ("http.response.start", "websocket.http.response.start")
"""What an answer begins with; also one that refuses a WebSocket."""

_ALLOWED_METHODS = ("GET", "POST", "PUT", "DELETE")
_ALLOWED_HEADERS = (
    *("Authorization", "X-API-Key", "X-Request-ID", "Inference-Header-Content-Length"),
    *("Traceparent", "Tracestate"),
)
_EXPOSED_HEADERS = (
    *("Gatewise-Model", "Gatewise-Truncated-Texts", "Gatewise-Version"),
    *("Inference-Header-Content-Length", "Retry-After", "X-Request-ID"),
)


@dataclass(frozen=True)
class Cors:
    """Which web pages of other origins may read answers.

    Attributes:
        origins: Their origins, `https://app.example`, or `*` for all; none for no page.
    """

    origins: tuple[str, ...] = ()


def wrap(app: ASGIApp, cors: Cors) -> ASGIApp:
    """An application with these headers in all its answers, and with preflights answered."""
    if cors.origins:
        app = CORSMiddleware(
            app,
            allow_origins=cors.origins,
            allow_methods=_ALLOWED_METHODS,
            allow_headers=_ALLOWED_HEADERS,
            expose_headers=_EXPOSED_HEADERS,
        )
    return _SecurityHeaders(app, SECURITY_HEADERS)


class _SecurityHeaders:
    """An application around which every answer gets the headers that it does not have yet."""

    def __init__(self, app: ASGIApp, headers: Sequence[Header]) -> None:
        self._app = app
        self._headers = tuple(headers)
        self._names = frozenset(name for name, _ in headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        def send_with_headers(message: Message) -> Awaitable[None]:
            if message["type"] in _STARTS:
                given = list(message.get("headers", ()))
                names = {name.lower() for name, _ in given}
                given += (
                    self._headers
                    if names.isdisjoint(self._names)
                    else [header for header in self._headers if header[0] not in names]
                )
                message = {**message, "headers": given}
            return send(message)

        await self._app(scope, receive, send_with_headers)
