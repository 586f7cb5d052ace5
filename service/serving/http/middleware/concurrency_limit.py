"""What a request passes on its way in where another server than ours has taken it.

Counts the requests under way, refuses one too many, and leaves naming the request to that server.
Knows neither routes nor which server it is.
"""

from gatewise.service.serving.http.protocol import problems
from gatewise.service.serving.http.protocol.limits import Limits
from gatewise.service.serving.http.protocol.problems import ProblemError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_DETAIL = "the service has as many requests under way as it may: ask again"


class ConcurrencyLimit:
    """An ASGI application around another one.

    Args:
        inside: The other one.
        bounds: How many requests there may be.
    """

    def __init__(self, inside: ASGIApp, bounds: Limits) -> None:
        self._inside = inside
        self._bounds = bounds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._inside(scope, receive, send)
            return
        if self._bounds.is_full():
            self._bounds.refused()
            problem = ProblemError(
                problems.TOO_MANY_REQUESTS, _DETAIL, headers={"Retry-After": "1"}
            )
            await problems.response(scope["path"], problem)(scope, receive, send)
            return

        async def send_out(message: Message) -> None:
            if message["type"] == "http.response.start":
                # The server has named the request before us, and names the answer after us.
                headers = [one for one in message["headers"] if one[0] != b"x-request-id"]
                message = {**message, "headers": headers}
            await send(message)

        await self._bounds.counted(self._inside)(scope, receive, send_out)
