"""ASGI middleware: how many requests may be under way; one too many is answered with 429.

The same under uvicorn and under Ray Serve.
"""

from collections.abc import Callable
from functools import lru_cache

from gatewise.service.serving.http.middleware.headers import SECURITY_HEADERS
from gatewise.service.serving.http.protocol import problems
from gatewise.service.serving.http.protocol.problems import ProblemError
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_TOO_MANY = ProblemError(
    problems.TOO_MANY_REQUESTS,
    "the service has as many requests under way as it may: ask again",
    headers={"Retry-After": "1"},
)


class ConcurrencyLimit:
    """An ASGI application around another one. WebSockets pass; they have a limit of their own.

    Args:
        inside: The other one. Nothing of it runs for a request that is refused.
        max_requests: How many requests it may have under way at a time.
        refused: Called for each request that is one too many.

    Attributes:
        under_way: How many requests there are.
    """

    def __init__(
        self, inside: ASGIApp, max_requests: int, refused: Callable[[], None] = lambda: None
    ) -> None:
        self._inside = inside
        self._max_requests = max_requests
        self._refused = refused
        self.under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._inside(scope, receive, send)
            return
        if self.under_way >= self._max_requests:
            self._refused()
            await _refusal(scope["path"])(scope, receive, send)
            return
        self.under_way += 1
        try:
            await self._inside(scope, receive, send)
        finally:
            self.under_way -= 1


@lru_cache(maxsize=16)  # under overload they are mostly the same, and must cost next to nothing
def _refusal(path: str) -> Response:
    """The answer to a request too many; whatever else adds headers has not been reached."""
    response = problems.response(path, _TOO_MANY)
    response.raw_headers.extend(SECURITY_HEADERS)
    return response


def without_request_id(inside: ASGIApp) -> ASGIApp:
    """An application whose answers do not name the request, for a server that does so itself."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_out(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [one for one in message["headers"] if one[0] != b"x-request-id"]
                message = {**message, "headers": headers}
            await send(message)

        await inside(scope, receive, send_out)

    return answer
