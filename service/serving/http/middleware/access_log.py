"""ASGI middleware: request id, access log, and the metrics of each request."""

import itertools
import json
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gatewise.service.serving.http.middleware.request_context import RequestContext, begin

_log = logging.getLogger("gatewise.access")

_MAX_PATH_CHARACTERS = 1000
"""The most characters of a path in a log line: a client may send a path of any length."""

_STARTS = ("http.response.start", "websocket.http.response.start", "websocket.accept")
"""The messages with the headers of an answer."""

_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


class AccessLog:
    """Middleware that gives each request an id, and counts and logs it with its answer.

    Args:
        app: The ASGI application inside.
        answered: Called with each request and the seconds that it took.
        access_log: Whether to log each request.
    """

    def __init__(
        self,
        app: ASGIApp,
        answered: Callable[[RequestContext, float], None],
        *,
        access_log: bool,
    ) -> None:
        self._app = app
        self._answered = answered
        self._access_log = access_log
        # Ids need to be unique, not secret: a random prefix per process, and a number.
        self._prefix = secrets.token_hex(8)
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        context = begin(scope, RequestContext(self._id(scope)))
        is_stream = scope["type"] == "websocket"

        def send_with_id(message: Message) -> Awaitable[None]:
            kind = message["type"]
            if kind in _STARTS:
                context.status = message.get("status", 101)
                header = (b"x-request-id", context.id.encode())
                message["headers"] = [*message.get("headers", ()), header]
            elif kind == "websocket.close":
                context.status = message["code"]
            return send(message)

        async def receive_code() -> Message:
            message = await receive()
            if message["type"] == "websocket.disconnect" and context.status == 101:
                context.status = message.get("code", 1005)
            return message

        try:
            await self._app(scope, receive_code if is_stream else receive, send_with_id)
        finally:
            seconds = time.perf_counter() - context.started
            if not is_stream:  # streams have metrics of their own
                self._answered(context, seconds)
            if self._access_log:
                fields = _fields(scope, context, seconds)
                # As JSON, a path or a text can neither break the line nor look like another field.
                line = " ".join(f"{name}={json.dumps(value)}" for name, value in fields.items())
                _log.info("%s", line, extra={"fields": fields})

    def _id(self, scope: Scope) -> str:
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _ID.fullmatch(value):
                return str(value, "ascii")
        return f"{self._prefix}-{next(self._numbers)}"


def _fields(scope: Scope, context: RequestContext, seconds: float) -> dict[str, object]:
    """Returns the fields of a log line; no header, which may hold a key, and no query."""
    client = scope.get("client")
    fields: dict[str, object] = {
        "request_id": context.id,
        "client": client[0] if client else "",
        "method": scope.get("method", "WS"),
        "path": scope["path"][:_MAX_PATH_CHARACTERS],
        "status": context.status,
        "ms": round(1000 * seconds, 3),
    }
    if context.model:
        fields |= {"model": context.model, "version": context.version}
    if context.texts is not None:
        fields["texts"] = context.texts
    return fields
