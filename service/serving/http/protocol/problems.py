"""Every error of the HTTP service, as a problem document (RFC 9457).

Errors below `/v2` have another shape: the Open Inference Protocol expects an object with the one
member `error`.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, Field
from starlette.responses import Response

from gatewise.service.serving.batching import ClosedError, DeadlineError, QueueFullError
from gatewise.service.serving.model_registry import InUseError, NotReadyError, UnknownModelError
from gatewise.vocab.errors import GatewiseError

MEDIA_TYPE = "application/problem+json"

_MAX_ERRORS = 20
"""The most errors listed of one request: the answer must not outgrow a body full of mistakes."""

_MAX_KEY_CHARACTERS = 100
"""The most characters of a key that a pointer shows."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem."""

    name: str  # the last part of the document's `type`, a URI that only identifies
    status: int  # the HTTP status
    title: str  # what all problems of this kind have in common
    # Seconds in `Retry-After`, unless the problem has headers of its own.
    retry_after: int | None = None

    @property
    def type(self) -> str:
        """The `type` member of the document."""
        return f"urn:gatewise:problem:{self.name}"


MALFORMED_BODY = Kind("malformed-body", 400, "The body is not valid JSON")
INVALID_INFERENCE = Kind("invalid-inference-request", 400, "The inference request is not valid")
UNAUTHORIZED = Kind("unauthorized", 401, "The request has no valid API key")
FORBIDDEN = Kind("forbidden", 403, "The API key does not allow this")
NO_ROUTE = Kind("no-route", 404, "There is no such route")
NO_MODEL = Kind("no-model", 404, "There is no such model or version")
WRONG_METHOD = Kind("wrong-method", 405, "The route does not take this method")
IN_USE = Kind("in-use", 409, "The version is in use")
NOT_LOADED = Kind("not-loaded", 409, "The model cannot be loaded")
BODY_TOO_LARGE = Kind("body-too-large", 413, "The body is too large")
UNSUPPORTED_BODY = Kind("unsupported-body", 415, "The body is not sent as JSON")
INVALID_REQUEST = Kind("invalid-request", 422, "The request is not valid")
EMPTY_TEXT = Kind("empty-text", 422, "A text is empty")
QUEUE_FULL = Kind("queue-full", 429, "Too many texts wait", retry_after=1)
TOO_MANY_REQUESTS = Kind("too-many-requests", 429, "Too Many Requests", retry_after=1)
RATE_LIMITED = Kind("rate-limited", 429, "The API key sends too many requests", retry_after=1)
UNEXPECTED = Kind("unexpected", 500, "The service failed")
NOT_READY = Kind("not-ready", 503, "The model is not ready", retry_after=1)
LATE = Kind("deadline", 504, "The answer took too long")

# Sent by a connection before there is a request.
REQUEST_TIMEOUT = Kind("request-timeout", 408, "Request Timeout")
HEADERS_TOO_LARGE = Kind("request-header-fields-too-large", 431, "Request Header Fields Too Large")
TOO_MANY_CONNECTIONS = Kind("service-unavailable", 503, "Service Unavailable", retry_after=1)

# Sent by a stream, as its last message.
FOREIGN_PAGE = Kind("foreign-page", 403, "The page is of another origin")
IDLE = Kind("idle", 408, "Nothing came")
NOT_STREAMED = Kind("not-streamed", 409, "The model cannot classify a text as it comes")
TEXT_TOO_LONG = Kind("text-too-long", 413, "The text is too long")
TOO_MANY_STREAMS = Kind("too-many-streams", 429, "Too many streams are open")

_KINDS_OF_ERRORS: dict[type[GatewiseError], Kind] = {
    QueueFullError: QUEUE_FULL,
    DeadlineError: LATE,
    UnknownModelError: NO_MODEL,
    NotReadyError: NOT_READY,
    ClosedError: NOT_READY,
    InUseError: IN_USE,
}


class FieldError(BaseModel):
    """An error in a body, and its place."""

    detail: str = Field(description="What is expected there.")
    pointer: str = Field(description="JSON pointer into the body, as a URI fragment.")


class Problem(BaseModel):
    """A problem document, RFC 9457, as OpenAPI describes it."""

    type: str = Field(description="URI of the kind of problem; identifies it and leads nowhere.")
    title: str = Field(description="The kind of problem, the same each time.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What is wrong this time, and what to do.")
    instance: str = Field(description="The path of the request.")
    errors: list[FieldError] | None = Field(
        None, description="The errors in the body; only if the body has the wrong shape."
    )


class ProblemError(Exception):
    """Raised below a route to answer with a problem document.

    Without headers the answer has those of the kind.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.errors = tuple(errors)
        if headers is None and kind.retry_after is not None:
            headers = {"Retry-After": str(kind.retry_after)}
        self.headers = dict(headers or {})


class ClientDisconnectedError(Exception):
    """The client has disconnected: nobody reads the answer."""


def no_route(path: str) -> ProblemError:
    """The problem of an unknown path."""
    return ProblemError(NO_ROUTE, f"no route {path!r:.200}: /docs lists the routes")


def invalid_request(errors: Sequence[FieldError]) -> ProblemError:
    """The problem of a request with errors in its body."""
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return ProblemError(
        INVALID_REQUEST, f"{first.pointer}: {first.detail}{more}", errors[:_MAX_ERRORS]
    )


def empty_texts(places: Sequence[str]) -> ProblemError:
    """The problem of texts without a token, from the JSON pointers to them."""
    detail = "expected a text with at least one token: an empty text has no class"
    return ProblemError(
        EMPTY_TEXT,
        f"{places[0]}: {detail}",
        [FieldError(detail=detail, pointer=place) for place in places],
    )


def too_many_requests() -> ProblemError:
    """The problem of a request above the limit of requests in flight."""
    return ProblemError(TOO_MANY_REQUESTS, "too many requests are in flight: retry later")


def unexpected() -> ProblemError:
    """The problem of a fault of the service; the log has the cause."""
    detail = "an unexpected error, not of the request's making: the service's log has the cause"
    # The server may drop the connection, which the client must know before it reuses it.
    return ProblemError(UNEXPECTED, detail, headers={"Connection": "close"})


def refusal(error: GatewiseError) -> ProblemError:
    """The problem of an error from below the routes.

    Raises:
        GatewiseError: The same error, if it is not caused by the request but a fault.
    """
    for known, kind in _KINDS_OF_ERRORS.items():
        if isinstance(error, known):
            headers = None
            if isinstance(error, QueueFullError):
                headers = {"Retry-After": str(max(1, math.ceil(error.retry_after)))}
            return ProblemError(kind, str(error), headers=headers)
    raise error


def pointer(location: Sequence[str | int], document: Any = None) -> str:
    """Returns a JSON pointer (RFC 6901), written as a URI fragment.

    pydantic puts the names of union members among the keys. They do not occur in the document and
    are left out; without a document every key counts. A long key is truncated, so that the answer
    does not repeat the body.

    >>> pointer(("inputs", "texts", 3), {"inputs": ["a", "b", "c", 7]})
    '#/inputs/3'
    """
    steps = []
    here = document
    for step in location:
        if isinstance(step, str) and not isinstance(here, dict) and document is not None:
            continue
        key = str(step)
        if len(key) > _MAX_KEY_CHARACTERS:
            key = key[:_MAX_KEY_CHARACTERS] + "…"
        steps.append(key.replace("~", "~0").replace("/", "~1"))
        if isinstance(here, dict):
            here = here.get(step)
        elif isinstance(here, list) and isinstance(step, int) and step < len(here):
            here = here[step]
    return "#" + "".join("/" + quote(step, safe="~", errors="replace") for step in steps)


def responses(*kinds: Kind, inference: bool = False) -> dict[int | str, dict[str, Any]]:
    """Returns FastAPI's `responses` of a route that may answer with these kinds of problem.

    `inference` is for a route of the Open Inference Protocol.
    """
    titles: dict[int | str, list[str]] = {}
    for kind in kinds:
        titles.setdefault(kind.status, []).append(kind.title)
    # A reference: FastAPI would build a validator for the model of each status of each route.
    media_type, schema = (
        ("application/json", "InferError") if inference else (MEDIA_TYPE, "Problem")
    )
    content = {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {
        status: {"description": "; ".join(these), "content": content}
        for status, these in titles.items()
    }


def response(path: str, problem: ProblemError) -> Response:
    """Returns the answer to a request."""
    if is_of_inference_protocol(path):
        content = json.dumps({"error": problem.detail})
        return Response(content, problem.kind.status, problem.headers, "application/json")
    return Response(document(path, problem), problem.kind.status, problem.headers, MEDIA_TYPE)


def document(path: str | None, problem: ProblemError) -> str:
    """Returns the JSON of a problem document; the path is None if there is no request."""
    kind = problem.kind
    members: dict[str, object] = {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "detail": problem.detail,
    }
    if path is not None:
        members["instance"] = quote(path, errors="replace")
    if problem.errors:
        members["errors"] = [error.model_dump() for error in problem.errors]
    # Written by json and not by pydantic: escaped to ASCII, it can hold a lone surrogate.
    return json.dumps(members)


def is_of_inference_protocol(path: str) -> bool:
    """Whether a path belongs to the Open Inference Protocol, whose errors have another shape."""
    return path == "/v2" or path.startswith("/v2/")
