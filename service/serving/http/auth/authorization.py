"""Authorization: the paths that are open without a key, and the refusals 401, 403 and 429.

Every other path needs a key, so that a new route is closed unless it is opened here.
"""

import math
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from gatewise.service.serving.http.app_context import app_context
from gatewise.service.serving.http.auth.api_keys import ApiKeys, Role, Sender
from gatewise.service.serving.http.auth.rate_limit import RateLimit
from gatewise.service.serving.http.middleware.access_log import request_context
from gatewise.service.serving.http.protocol import problems
from gatewise.service.serving.http.protocol.problems import (
    FORBIDDEN,
    RATE_LIMITED,
    UNAUTHORIZED,
    ProblemError,
)
from gatewise.service.serving.settings import variable

OPEN = frozenset(
    {
        # Probes have no keys, and browsers send none for a page; none of these reveals a model.
        *("/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"),
        *("/", "/docs", "/openapi.json"),
    }
)
"""The paths that need no key."""

_OPEN_FOLDER = "/page/"
"""The files of the web UI, which are the same in every service."""

_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "header": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The same key in its own header.",
    },
}


class AuthMiddleware:
    """ASGI middleware that requires a key, before anything of a body is read.

    `route_of` finds the route of a request that is refused, for the metrics.
    """

    def __init__(
        self, app: ASGIApp, keys: ApiKeys, limit: RateLimit, route_of: Callable[[Scope], str]
    ) -> None:
        self._app = app
        self._keys = keys
        self._limit = limit
        self._route_of = route_of

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Passes a request on, or refuses it."""
        app = self._app
        if scope["type"] in ("http", "websocket") and not _is_open(scope["path"]):
            try:
                sender = authorize(self._keys, scope, Role.PREDICT)
                if seconds := self._limit.seconds_to_wait(sender):
                    raise _too_fast(sender, seconds)
            except ProblemError as refusal:
                request_context(scope).route = self._route_of(scope)
                # A WebSocket gets it as the answer to its handshake.
                app = problems.response(scope["path"], refusal)
        return app(scope, receive, send)


def _is_open(path: str) -> bool:
    return path in OPEN or path.startswith(_OPEN_FOLDER)


def _too_fast(sender: Sender, seconds: float) -> ProblemError:
    return ProblemError(
        RATE_LIMITED,
        f"the API key {sender.name!r} sends more requests a second than it may: retry later",
        headers={"Retry-After": str(math.ceil(seconds))},
    )


def authorize(keys: ApiKeys, scope: Scope, needed: Role) -> Sender:
    """Checks that the sender of a request has a role, and returns it."""
    sender = keys.sender(scope["headers"])
    if sender is None:
        raise ProblemError(
            UNAUTHORIZED,
            "expected a valid API key, as Authorization: Bearer KEY or as X-API-Key: KEY",
            headers={"WWW-Authenticate": "Bearer"},
        )
    if sender.name:
        request_context(scope).key = sender.name
    if sender.role.allows(needed):
        return sender
    if keys.are_required:
        raise ProblemError(
            FORBIDDEN, f"expected an API key with the role {needed}, not {sender.role}"
        )
    raise ProblemError(
        FORBIDDEN,
        f"expected an API key with the role {needed}, but this service has no keys: set "
        f"{variable('api_keys_file')}",
    )


def require(needed: Role) -> Callable[[Request], Awaitable[None]]:
    """Returns a FastAPI dependency for a route that needs more than the middleware checks."""

    async def check(request: Request) -> None:
        authorize(app_context(request).keys, request.scope, needed)

    return check


def describe(document: dict[str, Any], keys: ApiKeys) -> None:
    """Adds the keys to an OpenAPI document, if the service requires them."""
    if not keys.are_required:
        return
    document["components"]["securitySchemes"] = _SCHEMES
    for path, operations in document["paths"].items():
        if path not in OPEN:
            for operation in operations.values():
                operation["security"] = [{name: []} for name in _SCHEMES]
                operation["responses"] = _refusals_at(path) | operation["responses"]


def _refusals_at(path: str) -> dict[str, Any]:
    """The descriptions of refusals by the key, in the shape of the errors of a path."""
    refusals = problems.responses(
        UNAUTHORIZED, RATE_LIMITED, inference=problems.is_of_inference_protocol(path)
    )
    return {str(status): described for status, described in refusals.items()}
