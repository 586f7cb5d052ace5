"""Every error of the HTTP service, as a problem document (RFC 9457).

Owns the kinds of problem, their statuses and their JSON, for the service's own refusals as for
the framework's (no such route, wrong method, an unexpected exception). Knows no route; of paths it
knows that those below `/v2` belong to the Open Inference Protocol, whose clients expect an object
with the one member `error` and would find no message in a problem document.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from gatewise.service.serving.batching import ClosedError, DeadlineError, QueueFullError
from gatewise.service.serving.model_versions import InUseError, NotReadyError, UnknownModelError
from gatewise.vocab.errors import GatewiseError
from pydantic import BaseModel, Field
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"

_MOST_ERRORS = 20
"""Errors listed of one request: a body of many mistakes shall not be answered with a longer one."""

_LONGEST_STEP = 100
"""Characters that are shown of a key in a pointer."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem.

    Attributes:
        name: Last part of the document's `type`, a URI that only identifies.
        status: The HTTP status.
        title: What all problems of this kind have in common.
    """

    name: str
    status: int
    title: str

    @property
    def type(self) -> str:
        """The `type` member of the document."""
        return f"urn:gatewise:problem:{self.name}"


MALFORMED_BODY = Kind("malformed-body", 400, "The body is not valid JSON")
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
QUEUE_FULL = Kind("queue-full", 429, "Too many texts wait")
TOO_MANY_REQUESTS = Kind("too-many-requests", 429, "Too Many Requests")
UNEXPECTED = Kind("unexpected", 500, "The service failed")
NOT_READY = Kind("not-ready", 503, "The model is not ready")
LATE = Kind("deadline", 504, "The answer took too long")


class FieldError(BaseModel):
    """One mistake in a body, and where it is."""

    detail: str = Field(description="What is expected there.")
    pointer: str = Field(description="JSON pointer into the body, as a URI fragment.")


class Problem(BaseModel):
    """A problem document, RFC 9457."""

    type: str = Field(description="URI of the kind of problem; identifies it and leads nowhere.")
    title: str = Field(description="The kind of problem, the same each time.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What is wrong this time, and what to do.")
    instance: str = Field(description="The path that was asked.")
    errors: list[FieldError] | None = Field(
        None, description="What is wrong where in the body; only of a body of the wrong shape."
    )


class ProblemError(Exception):
    """Raised anywhere below a route to answer with a problem document.

    Args:
        kind: The kind of problem.
        detail: What is wrong this time.
        errors: The mistakes in the body.
        headers: Headers of the answer.
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
        self.headers = dict(headers or {})


class ClientDisconnectedError(Exception):
    """A client that has gone: whatever it is told, nobody reads it."""


_REFUSALS: dict[type[GatewiseError], Kind] = {
    QueueFullError: QUEUE_FULL,
    DeadlineError: LATE,
    UnknownModelError: NO_MODEL,
    NotReadyError: NOT_READY,
    ClosedError: NOT_READY,
    InUseError: IN_USE,
}


def invalid_request(errors: Sequence[FieldError]) -> ProblemError:
    """The refusal of a request of the wrong shape."""
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return ProblemError(
        INVALID_REQUEST, f"{first.pointer}: {first.detail}{more}", errors[:_MOST_ERRORS]
    )


def empty_texts(places: Sequence[str]) -> ProblemError:
    """The refusal of texts without a token.

    Args:
        places: JSON pointers to them.
    """
    detail = "expected a text with at least one token: an empty text has no class"
    return ProblemError(
        EMPTY_TEXT,
        f"{places[0]}: {detail}",
        [FieldError(detail=detail, pointer=place) for place in places],
    )


def pointer(location: Sequence[str | int], document: Any = None) -> str:
    """A JSON pointer (RFC 6901) in its form as a URI fragment.

    pydantic puts the names of union members among the keys; they lead nowhere in the document
    itself and are left out. A long key is cut: a body shall not be answered with itself.

    >>> pointer(("inputs", "texts", 3), {"inputs": ["a", "b", "c", 7]})
    '#/inputs/3'

    Args:
        location: The keys and indices that lead to the place.
        document: The document they lead into; without one every key counts.
    """
    steps = []
    here = document
    for step in location:
        if isinstance(step, str) and not isinstance(here, dict) and document is not None:
            continue
        shown = str(step)
        if len(shown) > _LONGEST_STEP:
            shown = shown[:_LONGEST_STEP] + "…"
        steps.append(shown.replace("~", "~0").replace("/", "~1"))
        if isinstance(here, dict):
            here = here.get(step)
        elif isinstance(here, list) and isinstance(step, int) and step < len(here):
            here = here[step]
    return "#" + "".join("/" + quote(step, safe="~", errors="replace") for step in steps)


def responses(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """What FastAPI's `responses` says of a route that may answer with these kinds of problem."""
    titles: dict[int | str, list[str]] = {}
    for kind in kinds:
        titles.setdefault(kind.status, []).append(kind.title)
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": "; ".join(these), "content": content}
        for status, these in titles.items()
    }


def refusal(error: GatewiseError) -> ProblemError:
    """What a refusal from below the routes is answered with.

    Raises:
        GatewiseError: The same, if it is not of the request's making but a fault of the service.
    """
    for known, kind in _REFUSALS.items():
        if isinstance(error, known):
            headers = {}
            if isinstance(error, QueueFullError):
                headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
            elif kind is NOT_READY:
                headers["Retry-After"] = "1"
            return ProblemError(kind, str(error), headers=headers)
    raise error


def unexpected() -> ProblemError:
    """What a fault of the service is answered with, of which the log has the cause."""
    detail = "an unexpected error, not of the request's making: the service's log has the cause"
    # The server may drop the connection, which the client must know before it asks again on it.
    return ProblemError(UNEXPECTED, detail, headers={"Connection": "close"})


def response(path: str, problem: ProblemError) -> Response:
    """The answer that tells a problem.

    Args:
        path: The path that was asked.
        problem: The problem.
    """
    if is_of_inference_protocol(path):
        content = json.dumps({"error": problem.detail})
        return Response(content, problem.kind.status, problem.headers, "application/json")
    return Response(document(path, problem), problem.kind.status, problem.headers, MEDIA_TYPE)


def document(path: str, problem: ProblemError) -> str:
    """The JSON of a problem document.

    Args:
        path: The path that was asked.
        problem: The problem.
    """
    told = Problem(
        type=problem.kind.type,
        title=problem.kind.title,
        status=problem.kind.status,
        detail=problem.detail,
        instance=quote(path, errors="replace"),
        errors=list(problem.errors) or None,
    )
    # Written by json and not by pydantic: escaped to ASCII, it can hold a lone surrogate.
    return json.dumps(told.model_dump(exclude_none=True))


def is_of_inference_protocol(path: str) -> bool:
    """Whether a path is one of the Open Inference Protocol, with errors of another shape."""
    return path == "/v2" or path.startswith("/v2/")
