"""ASGI middleware: the limit of requests in flight, above which a request is answered with 429."""

from collections.abc import Callable
from functools import lru_cache

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gatewise.service.serving.http.middleware.headers import SECURITY_HEADERS
from gatewise.service.serving.http.protocol import problems

_LIVENESS = frozenset({"/health/live", "/v2/health/live"})
"""Paths that are never refused: a service that is overloaded must not be restarted."""


class ConcurrencyLimit:
    """Middleware that refuses a request while too many others are in flight.

    WebSockets pass: they have a limit of their own.
    """

    def __init__(self, app: ASGIApp, max_requests: int, refused: Callable[[], None]) -> None:
        self._app = app
        self._max_requests = max_requests
        self._refused = refused
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http" or scope["path"] in _LIVENESS:
            await self._app(scope, receive, send)
            return
        if self.in_flight >= self._max_requests:
            self._refused()
            await _refusal(scope["path"])(scope, receive, send)
            return
        self.in_flight += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self.in_flight -= 1


@lru_cache(maxsize=16)  # under overload the paths repeat, and a refusal must cost next to nothing
def _refusal(path: str) -> Response:
    response = problems.response(path, problems.too_many_requests())
    response.raw_headers.extend(SECURITY_HEADERS)  # the middleware inside adds them to the others
    return response
