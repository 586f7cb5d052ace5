"""Who is let in: a request's role held against what it takes.

Owns what is open to all, the two refusals, 401 and 403, and what the OpenAPI document says of them.
All else is closed without a key, so that a route which nobody thought of here is closed too. Knows
no route by more than its path, and not how keys are kept
(`gatewise.service.serving.http.auth.api_keys`).
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from fastapi import Request
from gatewise.service.serving.http.app_context import app_context
from gatewise.service.serving.http.auth.api_keys import ApiKeys
from gatewise.service.serving.http.auth.key_file import Role
from gatewise.service.serving.http.protocol import openapi_errors, problems
from gatewise.service.serving.http.protocol.problems import FORBIDDEN, UNAUTHORIZED, ProblemError
from starlette.types import ASGIApp, Receive, Scope, Send

OPEN = frozenset(
    {
        # Probes have no keys, and a browser sends none for a page; none of these tells of a model.
        *("/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"),
        *("/", "/docs", "/openapi.json"),
    }
)
"""The paths that nobody needs a key for."""

_OPEN_FILES = "/page/"
"""Below this are the files of the page, which are the same for everybody."""

_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "header": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The same in a header of its own.",
    },
}


class AuthMiddleware:
    """An ASGI application that asks for a key before it lets requests in to another one.

    Nothing of a request's body is read before.

    Args:
        inside: The other one.
        keys: The service's keys.
    """

    def __init__(self, inside: ASGIApp, keys: ApiKeys) -> None:
        self._inside = inside
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets one request in, or answers its refusal."""
        if scope["type"] in ("http", "websocket") and not _is_open(scope["path"]):
            try:
                admit(self._keys, scope["headers"], Role.PREDICT)
            except ProblemError as refusal:
                # Of a WebSocket it is the answer to the request for one.
                await problems.response(scope["path"], refusal)(scope, receive, send)
                return
        await self._inside(scope, receive, send)


def _is_open(path: str) -> bool:
    return path in OPEN or path.startswith(_OPEN_FILES)


def admit(keys: ApiKeys, headers: Iterable[tuple[bytes, bytes]], needed: Role) -> None:
    """Lets in a request whose sender has a role.

    Args:
        keys: The service's keys.
        headers: The request's, as ASGI has them.
        needed: The role that it takes.

    Raises:
        ProblemError: If it has no valid key, or one that does not allow this.
    """
    role = keys.role(headers)
    if role is None:
        raise ProblemError(
            UNAUTHORIZED,
            "expected a valid API key, as Authorization: Bearer KEY or as X-API-Key: KEY",
            headers={"WWW-Authenticate": "Bearer"},
        )
    if role.allows(needed):
        return
    if keys.are_asked_for:
        raise ProblemError(FORBIDDEN, f"expected an API key with the role {needed}, not {role}")
    raise ProblemError(
        FORBIDDEN,
        f"this needs an API key with the role {needed}, and this service has no keys: set "
        "GATEWISE_API_KEYS_FILE",
    )


def require(needed: Role) -> Callable[[Request], Awaitable[None]]:
    """A dependency of FastAPI, for a route that needs another role than PREDICT."""

    async def check(request: Request) -> None:
        admit(app_context(request).keys, request.scope["headers"], needed)

    return check


def describe(document: dict[str, Any], keys: ApiKeys) -> None:
    """Puts the keys into an OpenAPI document, where the service asks for them."""
    if not keys.are_asked_for:
        return
    document["components"]["securitySchemes"] = _SCHEMES
    for path, operations in document["paths"].items():
        if path not in OPEN:
            for operation in operations.values():
                operation["security"] = [{name: []} for name in _SCHEMES]
                operation["responses"] |= openapi_errors.responses_at(path, UNAUTHORIZED)
