"""`GET /` and `GET /docs`: the web pages and their files, with their headers.

The page classifies texts by the routes that any other client uses.
"""

import gzip
import hashlib
from functools import lru_cache
from importlib import resources

from fastapi import APIRouter, Request
from starlette.responses import Response

from gatewise.service.serving.http.protocol import problems
from gatewise.service.serving.http.protocol.problems import ProblemError
from gatewise.service.serving.http.web_ui.docs_page import docs_page

_FOLDERS = ("static", "swagger_ui")
_COMPRESSED = ".gz"
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
    """Returns the routes of the pages and their files, which are read here."""
    router = APIRouter(include_in_schema=False)
    package = resources.files("gatewise.service.serving.http.web_ui")
    files = {
        file.name: file.read_bytes()
        for folder in _FOLDERS
        for file in (package / folder).iterdir()
        if file.name.removesuffix(_COMPRESSED).endswith(tuple(_MEDIA_TYPES))
    }
    docs, docs_policy = docs_page("Gatewise: the routes")

    @router.get("/")
    async def page(request: Request) -> Response:
        """Returns the page."""
        return _response(request, _INDEX, files[_INDEX])

    @router.get("/docs")
    async def documentation(request: Request) -> Response:
        """Returns the page that documents the routes."""
        return _response(request, _INDEX, docs, docs_policy)

    @router.get("/page/{name}")
    async def file(request: Request, name: str) -> Response:
        """Returns a file that a page loads."""
        if name + _COMPRESSED in files:
            return _compressed(request, name, files[name + _COMPRESSED])
        if name == _INDEX or name not in files or name.endswith(_COMPRESSED):
            raise ProblemError(problems.NO_ROUTE, f"the page has no file {name!r:.200}")
        return _response(request, name, files[name])

    return router


def _compressed(request: Request, name: str, contents: bytes) -> Response:
    """Returns a file that is kept compressed, and is sent so to all but very simple clients."""
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return _response(request, name, _decompressed(contents))
    response = _response(request, name, contents)
    response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    return response


# Once for all requests: a file is a megabyte.
@lru_cache(maxsize=8)
def _decompressed(contents: bytes) -> bytes:
    return gzip.decompress(contents)


@lru_cache(maxsize=64)
def _etag(contents: bytes) -> str:
    return f'"{hashlib.sha256(contents).hexdigest()[:32]}"'


def _response(request: Request, name: str, contents: bytes, policy: str = POLICY) -> Response:
    etag = _etag(contents)
    headers = {
        # Browsers revalidate each time: another version of the service has another page.
        "Cache-Control": "no-cache",
        "Content-Security-Policy": policy,
        "ETag": etag,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    media_type = next(kind for ending, kind in _MEDIA_TYPES.items() if name.endswith(ending))
    return Response(contents, headers=headers, media_type=media_type)
