"""What every request passes on its way in and every answer on its way out.

Gives each request an id, and counts and logs it with its answer. Knows
neither routes nor models.
"""

import itertools
import json
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable

from gatewise.service.serving.http.middleware.request_context import RequestContext, begin
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger("gatewise.access")

_LONGEST_PATH = 1000
"""Characters of a path that are logged: of a request it may be all but a few."""

_BEGINS = ("http.response.start", "websocket.http.response.start", "websocket.accept")
"""What tells the first of an answer, and takes headers."""

_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


class AccessLog:
    """An ASGI application around another one.

    Args:
        inside: The other one.
        answered: Told of every exchange and how many seconds it took.
        access_log: Whether each exchange is logged.
    """

    def __init__(
        self,
        inside: ASGIApp,
        answered: Callable[[RequestContext, float], None],
        *,
        access_log: bool,
    ) -> None:
        self._inside = inside
        self._answered = answered
        self._access_log = access_log
        # Ids tell requests apart and need not be secret: one draw a process, and a number.
        self._prefix = secrets.token_hex(8)
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] == "lifespan":
            await self._inside(scope, receive, send)
            return
        exchange = begin(scope, RequestContext(self._id(scope)))
        is_stream = scope["type"] == "websocket"

        def send_out(message: Message) -> Awaitable[None]:
            kind = message["type"]
            if kind in _BEGINS:
                exchange.status = message.get("status", 101)
                named = (b"x-request-id", exchange.id.encode())
                message["headers"] = [*message.get("headers", ()), named]
            elif kind == "websocket.close":
                exchange.status = message["code"]
            return send(message)

        async def receive_in() -> Message:
            message = await receive()
            if message["type"] == "websocket.disconnect" and exchange.status == 101:
                exchange.status = message.get("code", 1005)
            return message

        try:
            await self._inside(scope, receive_in if is_stream else receive, send_out)
        finally:
            seconds = time.perf_counter() - exchange.started
            if not is_stream:  # those count themselves
                self._answered(exchange, seconds)
            if self._access_log:
                fields = _fields(scope, exchange, seconds)
                # As JSON, a path or a text cannot break the line or pass for another field.
                line = " ".join(f"{name}={json.dumps(one)}" for name, one in fields.items())
                _log.info("%s", line, extra={"fields": fields})

    def _id(self, scope: Scope) -> str:
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _ID.fullmatch(value):
                return str(value, "ascii")
        return f"{self._prefix}-{next(self._numbers)}"


def _fields(scope: Scope, exchange: RequestContext, seconds: float) -> dict[str, object]:
    """An exchange as it is logged; never a header, which may hold a key, nor a query."""
    client = scope.get("client")
    fields: dict[str, object] = {
        "request_id": exchange.id,
        "client": client[0] if client else "",
        "method": scope.get("method", "WS"),
        "path": scope["path"][:_LONGEST_PATH],
        "status": exchange.status,
        "ms": round(1000 * seconds, 3),
    }
    if exchange.model:
        fields |= {"model": exchange.model, "version": exchange.version}
    if exchange.texts is not None:
        fields["texts"] = exchange.texts
    return fields
