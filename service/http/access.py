"""Who is let in: a request's role held against what a route needs.

Owns the two refusals, 401 and 403, what FastAPI's routes depend on, and what the OpenAPI document
says of it. Knows no route, and not how keys are kept (`service.http.keys`).
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from service.http.key_file import Role
from service.http.keys import Keys
from service.http.problems import FORBIDDEN, UNAUTHORIZED, Kind, ProblemError

PROBLEMS: dict[Role, tuple[Kind, ...]] = {
    Role.PREDICT: (UNAUTHORIZED,),
    Role.ADMIN: (UNAUTHORIZED, FORBIDDEN),
}
"""What a route that needs a role may refuse with; every key there is allows to predict."""

# They read nothing here, and refuse nothing: they put the two headers into the OpenAPI document.
_BEARER = HTTPBearer(
    scheme_name="bearer", description="An API key, where the service has keys.", auto_error=False
)
_X_API_KEY = APIKeyHeader(
    name="X-API-Key",
    scheme_name="header",
    description="The same in a header of its own.",
    auto_error=False,
)


def refusal(role: Role | None, needed: Role, *, keys_are_asked_for: bool = True) -> ProblemError:
    """The refusal of a request whose role does not allow what it asks.

    Args:
        role: The role of its sender; None without a valid key.
        needed: The role that it takes.
        keys_are_asked_for: Whether the service has keys.
    """
    if role is None:
        return ProblemError(
            UNAUTHORIZED,
            "expected a valid API key, as Authorization: Bearer KEY or as X-API-Key: KEY",
            headers={"WWW-Authenticate": "Bearer"},
        )
    if not keys_are_asked_for:
        return ProblemError(
            FORBIDDEN,
            f"this needs an API key with the role {needed}, and this service has no keys: set "
            "GATEWISE_API_KEYS_FILE",
        )
    return ProblemError(FORBIDDEN, f"expected an API key with the role {needed}, not {role}")


def require(needed: Role) -> Callable[..., Awaitable[None]]:
    """A dependency of FastAPI's that lets in who has a role.

    It comes before a route reads anything of the body. `request.app.state.keys` has the keys.
    """

    async def check(
        request: Request,
        _bearer: Annotated[Any, Security(_BEARER)],
        _own: Annotated[Any, Security(_X_API_KEY)],
    ) -> None:
        keys: Keys = request.app.state.keys
        role = keys.role(request.scope["headers"])
        if role is None or not role.allows(needed):
            raise refusal(role, needed, keys_are_asked_for=keys.are_asked_for)

    return check


def describe(document: dict[str, Any], keys: Keys) -> None:
    """Takes the keys out of an OpenAPI document where the service asks for none."""
    if keys.are_asked_for:
        return
    document.get("components", {}).pop("securitySchemes", None)
    for path in document["paths"].values():
        for operation in path.values():
            if operation.pop("security", None):
                operation["responses"].pop(str(UNAUTHORIZED.status), None)
