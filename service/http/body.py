"""How a request's JSON body is read: its media type, its size, its shape, in this order.

The size is counted while reading, so a body that lies about its length, or tells none, costs no
more memory than the limit. Knows no route: a pydantic model says what is expected.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import ClientDisconnect, Request

from service.http.problems import (
    BODY_TOO_LARGE,
    MALFORMED_BODY,
    UNSUPPORTED_BODY,
    ErrorPlace,
    Kind,
    ProblemError,
    invalid_request,
    pointer,
)

PROBLEMS: tuple[Kind, ...] = (MALFORMED_BODY, BODY_TOO_LARGE, UNSUPPORTED_BODY)
"""What reading a body may be refused with, beside a shape of its own."""

_MAX_ERRORS = 100
"""Most errors of a body that are looked at one by one."""

Model = TypeVar("Model", bound=BaseModel)


async def read(request: Request, schema: type[Model], limit: int) -> Model:
    """Reads and validates the body of a request.

    Args:
        request: The request.
        schema: What the body must be.
        limit: Most bytes of a body.

    Raises:
        ProblemError: If the body is not JSON, too large, or of another shape.
    """
    body = await receive(request, limit)
    # pydantic's parser and not `json`: it bounds the depth of nesting and refuses broken UTF-8
    # and lone surrogates, which no tokenizer could take.
    try:
        return schema.model_validate_json(body)
    except ValidationError as error:
        raise _refusal(error, body) from None


async def receive(request: Request, limit: int, *media_types: str) -> bytes:
    """Reads the body of a request as it is.

    Args:
        request: The request.
        limit: Most bytes of a body.
        media_types: What it may be sent as besides JSON.

    Raises:
        ProblemError: If the body is too large, or sent as something else.
    """
    _check_media_type(request, media_types)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise ProblemError(
                    BODY_TOO_LARGE,
                    f"expected at most {limit} bytes: send the texts in several requests",
                )
    except ClientDisconnect:
        # Nobody reads this answer, but without it the log would tell of a failure of ours.
        raise ProblemError(MALFORMED_BODY, "the connection closed within the body") from None
    return bytes(body)


def openapi(schema: type[BaseModel]) -> dict[str, Any]:
    """FastAPI's `openapi_extra` of a route that reads this body; `components` has the rest."""
    content = {"schema": {"$ref": f"#/components/schemas/{schema.__name__}"}}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def _check_media_type(request: Request, others: Sequence[str]) -> None:
    # A request that names no type is taken for JSON: there is nothing else that it could be.
    named = request.headers.get("content-type", "application/json")
    media_type = named.partition(";")[0].strip().lower()
    taken = ("application/json", *others)
    if media_type not in taken and not media_type.endswith("+json"):
        raise ProblemError(
            UNSUPPORTED_BODY, f"expected Content-Type: {' or '.join(taken)}, received {named!r}"
        )
    coding = request.headers.get("content-encoding", "identity")
    if coding.strip().lower() != "identity":
        raise ProblemError(
            UNSUPPORTED_BODY, f"expected no Content-Encoding, received {coding!r}: send it plain"
        )


def _refusal(error: ValidationError, body: bytes) -> ProblemError:
    if error.error_count() > _MAX_ERRORS:
        # Telling each of them would hold up every other request.
        return invalid_request(
            [ErrorPlace(detail=f"{error.error_count()} errors in one body", pointer="")]
        )
    errors = error.errors(include_url=False, include_context=False)
    if errors[0]["type"] == "json_invalid":
        reason = errors[0]["msg"].removeprefix("Invalid JSON: ")
        return ProblemError(MALFORMED_BODY, f"expected a JSON object in UTF-8: {reason}")
    document = from_json(body)
    return invalid_request(
        [ErrorPlace(detail=each["msg"], pointer=pointer(each["loc"], document)) for each in errors]
    )
