"""ASGI middleware: the path below which a proxy serves the service."""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Receive, Scope, Send


def strip(app: ASGIApp, root_path: str) -> ASGIApp:
    """Removes a leading path from requests, for a proxy that passes it on."""
    prefix = f"{root_path}/"

    def without_root_path(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope.get("path", "").startswith(prefix):
            scope = {**scope, "path": scope["path"][len(root_path) :]}
        return app(scope, receive, send)

    return without_root_path
