"""Authorization: the paths that are open without a key, and the refusals 401 and 403.

Every other path needs a key, so that a new route is closed unless it is opened here.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from gatewise.service.serving.http.app_context import app_context
from gatewise.service.serving.http.auth.api_keys import ApiKeys, Role
from gatewise.service.serving.http.protocol import problems
from gatewise.service.serving.http.protocol.problems import FORBIDDEN, UNAUTHORIZED, ProblemError
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
    """ASGI middleware that requires a key, before anything of a body is read."""

    def __init__(self, app: ASGIApp, keys: ApiKeys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or refuses it."""
        if scope["type"] in ("http", "websocket") and not _is_open(scope["path"]):
            try:
                authorize(self._keys, scope["headers"], Role.PREDICT)
            except ProblemError as refusal:
                # A WebSocket gets it as the answer to its handshake.
                await problems.response(scope["path"], refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _is_open(path: str) -> bool:
    return path in OPEN or path.startswith(_OPEN_FOLDER)


def authorize(keys: ApiKeys, headers: Iterable[tuple[bytes, bytes]], needed: Role) -> None:
    """Checks that the sender of a request has a role."""
    role = keys.role(headers)
    if role is None:
        raise ProblemError(
            UNAUTHORIZED,
            "expected a valid API key, as Authorization: Bearer KEY or as X-API-Key: KEY",
            headers={"WWW-Authenticate": "Bearer"},
        )
    if role.allows(needed):
        return
    if keys.are_required:
        raise ProblemError(FORBIDDEN, f"expected an API key with the role {needed}, not {role}")
    raise ProblemError(
        FORBIDDEN,
        f"expected an API key with the role {needed}, but this service has no keys: set "
        f"{variable('api_keys_file')}",
    )


def require(needed: Role) -> Callable[[Request], Awaitable[None]]:
    """Returns a FastAPI dependency for a route that needs more than the middleware checks."""

    async def check(request: Request) -> None:
        authorize(app_context(request).keys, request.scope["headers"], needed)

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
                operation["responses"] |= _unauthorized_at(path)


def _unauthorized_at(path: str) -> dict[str, Any]:
    """The description of a refusal without a key, in the shape of the errors of a path."""
    ((status, described),) = problems.responses(UNAUTHORIZED).items()
    if problems.is_of_inference_protocol(path):
        schema = {"$ref": "#/components/schemas/InferError"}
        described = {**described, "content": {"application/json": {"schema": schema}}}
    return {str(status): described}
