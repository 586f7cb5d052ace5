"""ASGI middleware: security headers of every answer, and CORS."""

from collections.abc import Awaitable, Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Header = tuple[bytes, bytes]

SECURITY_HEADERS: tuple[Header, ...] = (
    # An answer is about a private text: no cache may keep it.
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
"""Added to every answer that does not have them itself."""

_STARTS = ("http.response.start", "websocket.http.response.start")
"""The messages with the headers of an answer; the second one refuses a WebSocket."""

_ALLOWED_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")
_ALLOWED_HEADERS = (
    *("Authorization", "X-API-Key", "X-Request-ID", "Inference-Header-Content-Length"),
    *("Traceparent", "Tracestate"),
)
_EXPOSED_HEADERS = (
    *("Gatewise-Model", "Gatewise-Truncated-Texts", "Gatewise-Version"),
    *("Inference-Header-Content-Length", "Retry-After", "X-Request-ID"),
)


def wrap(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Adds these headers to all answers of an application, and answers preflight requests."""
    if origins:
        app = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=_ALLOWED_METHODS,
            allow_headers=_ALLOWED_HEADERS,
            expose_headers=_EXPOSED_HEADERS,
        )

    def with_security_headers(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        def send_with_headers(message: Message) -> Awaitable[None]:
            if message["type"] in _STARTS:
                own = message.get("headers", ())
                names = dict(own)
                added = [header for header in SECURITY_HEADERS if header[0] not in names]
                message = {**message, "headers": [*own, *added]}
            return send(message)

        return app(scope, receive, send_with_headers)

    return with_security_headers
