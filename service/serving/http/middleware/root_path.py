"""ASGI middleware: the path below which a proxy serves the service."""

from starlette.types import ASGIApp, Receive, Scope, Send


def strip(app: ASGIApp, root_path: str) -> ASGIApp:
    """Removes a leading path from requests, for a proxy that passes it on."""
    prefix = f"{root_path}/"

    async def without_root_path(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path", "").startswith(prefix):
            scope = {**scope, "path": scope["path"][len(root_path) :]}
        await app(scope, receive, send)

    return without_root_path
