"""Exception handlers: every exception of a route becomes a problem document."""

from http import HTTPStatus

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gatewise.service.serving.http.protocol.problems import (
    NO_ROUTE,
    WRONG_METHOD,
    ClientDisconnectedError,
    FieldError,
    Kind,
    ProblemError,
    invalid_request,
    no_route,
    pointer,
    refusal,
    response,
    unexpected,
)
from gatewise.vocab.errors import GatewiseError


def install(app: FastAPI) -> None:
    """Adds the handlers to an application."""

    @app.exception_handler(ProblemError)
    async def answer_problem(request: Request, error: ProblemError) -> Response:
        return response(request.scope["path"], error)

    @app.exception_handler(GatewiseError)
    async def answer_refusal(request: Request, error: GatewiseError) -> Response:
        return response(request.scope["path"], refusal(error))

    @app.exception_handler(ClientDisconnectedError)
    async def answer_nobody(request: Request, error: Exception) -> Response:  # noqa: ARG001
        return Response(status_code=499)  # nobody reads it; proxies log this status

    @app.exception_handler(HTTPException)
    async def answer_http_exception(request: Request, error: HTTPException) -> Response:
        return response(request.scope["path"], _framework_problem(request, error))

    @app.exception_handler(RequestValidationError)
    async def answer_parameters(request: Request, error: RequestValidationError) -> Response:
        errors = [
            FieldError(detail=each["msg"], pointer=pointer(each["loc"])) for each in error.errors()
        ]
        return response(request.scope["path"], invalid_request(errors))

    @app.exception_handler(Exception)
    async def answer_exception(request: Request, error: Exception) -> Response:  # noqa: ARG001
        # The server logs the exception with its traceback; the client learns no internals.
        return response(request.scope["path"], unexpected())


def _framework_problem(request: Request, error: HTTPException) -> ProblemError:
    """The problem of a refusal of Starlette: an unknown route, a wrong method."""
    path = request.scope["path"]
    if error.status_code == NO_ROUTE.status:
        return no_route(path)
    if error.status_code == WRONG_METHOD.status:
        allowed = (error.headers or {}).get("Allow", "")
        if "GET" in allowed and "HEAD" not in allowed:  # the application answers HEAD as GET
            allowed = f"{allowed}, HEAD"
        detail = f"{path:.200} does not take {request.method}: expected {allowed}"
        return ProblemError(WRONG_METHOD, detail, headers={"Allow": allowed})
    status = HTTPStatus(error.status_code)
    kind = Kind(status.name.lower().replace("_", "-"), status.value, status.phrase)
    return ProblemError(kind, str(error.detail), headers=error.headers)
