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
    app.add_exception_handler(ProblemError, _answer_problem)
    app.add_exception_handler(GatewiseError, _answer_refusal)
    app.add_exception_handler(ClientDisconnectedError, _answer_nobody)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_exception_handler(RequestValidationError, _answer_validation_error)
    app.add_exception_handler(Exception, _answer_exception)


def _response(request: Request, problem: ProblemError) -> Response:
    return response(request.scope["path"], problem)


async def _answer_problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, ProblemError):
        raise error
    return _response(request, error)


async def _answer_refusal(request: Request, error: Exception) -> Response:
    if not isinstance(error, GatewiseError):
        raise error
    return _response(request, refusal(error))


async def _answer_nobody(request: Request, error: Exception) -> Response:  # noqa: ARG001
    return Response(status_code=499)  # nobody reads it; proxies log this status


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    """Answers the refusals of Starlette: an unknown route, a wrong method."""
    if not isinstance(error, HTTPException):
        raise error
    method, path = request.method, request.scope["path"]
    if error.status_code == NO_ROUTE.status:
        problem = no_route(path)
    elif error.status_code == WRONG_METHOD.status:
        allowed = (error.headers or {}).get("Allow", "another method")
        detail = f"{path:.200} does not take {method}: expected {allowed}"
        problem = ProblemError(WRONG_METHOD, detail, headers=error.headers)
    else:
        status = HTTPStatus(error.status_code)
        kind = Kind(status.name.lower().replace("_", "-"), status.value, status.phrase)
        problem = ProblemError(kind, str(error.detail), headers=error.headers)
    return _response(request, problem)


async def _answer_validation_error(request: Request, error: Exception) -> Response:
    """Answers parameters that FastAPI refuses."""
    if not isinstance(error, RequestValidationError):
        raise error
    errors = [
        FieldError(detail=entry["msg"], pointer=pointer(entry["loc"])) for entry in error.errors()
    ]
    return _response(request, invalid_request(errors))


async def _answer_exception(request: Request, error: Exception) -> Response:  # noqa: ARG001
    # The server logs the exception with its traceback; the client learns no internals.
    return _response(request, unexpected())
