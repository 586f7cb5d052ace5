"""`GET /`: the web page and its files, with their headers.

The page classifies texts by the routes that any other client uses.
"""

import hashlib
from importlib import resources

from fastapi import APIRouter, Request
from starlette.responses import Response

from gatewise.service.serving.http.protocol import problems
from gatewise.service.serving.http.protocol.problems import ProblemError

_INDEX = "index.html"
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

POLICY = "; ".join(
    (
        "default-src 'none'",
        "base-uri 'none'",
        "connect-src 'self'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "img-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        # No text and no name of a model can become HTML.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""The Content-Security-Policy of the page: its own files and requests to the service only."""


def routes() -> APIRouter:
    """Returns the routes of the page and its files, which are read here."""
    router = APIRouter(include_in_schema=False)
    folder = resources.files("gatewise.service.serving.http.web_ui") / "static"
    files = {
        file.name: file.read_bytes()
        for file in folder.iterdir()
        if file.name.endswith(tuple(_MEDIA_TYPES))
    }

    @router.get("/")
    async def page(request: Request) -> Response:
        """Returns the page."""
        return _response(request, _INDEX, files[_INDEX])

    @router.get("/page/{name}")
    async def file(request: Request, name: str) -> Response:
        """Returns a file that the page loads."""
        if name == _INDEX or name not in files:
            raise ProblemError(problems.NO_ROUTE, f"the page has no file {name!r:.200}")
        return _response(request, name, files[name])

    return router


def _response(request: Request, name: str, contents: bytes) -> Response:
    etag = f'"{hashlib.sha256(contents).hexdigest()[:32]}"'
    headers = {
        # Browsers revalidate each time: another version of the service has another page.
        "Cache-Control": "no-cache",
        "Content-Security-Policy": POLICY,
        "ETag": etag,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    media_type = next(kind for ending, kind in _MEDIA_TYPES.items() if name.endswith(ending))
    return Response(contents, headers=headers, media_type=media_type)
