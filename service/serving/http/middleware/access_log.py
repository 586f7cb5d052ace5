"""ASGI middleware: the context of each request, its id, its line in the access log, its metrics."""

import itertools
import json
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger("gatewise.access")

_MAX_PATH_CHARACTERS = 1000
"""The most characters of a path in a log line: a client may send a path of any length."""

_STARTS = ("http.response.start", "websocket.http.response.start", "websocket.accept")
"""The messages with the headers of an answer."""

_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")

_KEY = "gatewise.request"


@dataclass(slots=True)
class RequestContext:
    """One request and its answer, for the access log and the metrics."""

    id: str  # the id in the log and in the answer's `X-Request-ID`
    # The start, on `time.perf_counter`'s clock.
    started: float = field(default_factory=time.perf_counter)
    # The route, such as `/models/{name}/predict`; empty for none.
    route: str = ""
    # The name of the model; empty for none.
    model: str = ""
    version: str = ""  # the version of the model
    key: str = ""  # the name of the sender's API key; empty for none
    texts: list[str] | None = None  # the texts, if they are to be logged
    # The status of the answer, 0 until it is sent; of a stream, its close code.
    status: int = 0


def request_context(scope: Scope) -> RequestContext:
    """Returns the context of a request; a new one if no middleware has made it."""
    if _KEY not in scope:
        scope[_KEY] = RequestContext("-")
    context: RequestContext = scope[_KEY]
    return context


class AccessLog:
    """Middleware that gives each request an id, and counts and logs it with its answer."""

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
        context = scope[_KEY] = RequestContext(self._id(scope))
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
                log_fields(_log, _fields(scope, context, seconds))

    def _id(self, scope: Scope) -> str:
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _ID.fullmatch(value):
                return str(value, "ascii")
        return f"{self._prefix}-{next(self._numbers)}"


def log_fields(log: logging.Logger, fields: dict[str, object]) -> None:
    """Logs fields in one line.

    As JSON, a path or a text can neither break the line nor look like another field.
    """
    line = " ".join(f"{name}={json.dumps(value)}" for name, value in fields.items())
    log.info("%s", line, extra={"fields": fields})


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
    if context.key:
        fields["key"] = context.key
    if context.model:
        fields |= {"model": context.model, "version": context.version}
    if context.texts is not None:
        fields["texts"] = context.texts
    return fields
