"""How a request's JSON body is read: its media type, its size, its shape, in this order.

The size is counted while reading, so a body that lies about its length, or tells none, costs no
more memory than the limit. Knows no route: a pydantic model says what is expected.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from gatewise.service.serving.http.protocol.problems import (
    BODY_TOO_LARGE,
    MALFORMED_BODY,
    UNSUPPORTED_BODY,
    ClientDisconnectedError,
    FieldError,
    Kind,
    ProblemError,
    invalid_request,
    pointer,
)
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.types import Receive, Scope

PROBLEMS: tuple[Kind, ...] = (MALFORMED_BODY, BODY_TOO_LARGE, UNSUPPORTED_BODY)
"""What reading a body may be refused with, beside a shape of its own."""

_MOST_DIGITS = 20
_MAX_ERRORS = 100
"""Most errors of a body that are looked at one by one."""

Model = TypeVar("Model", bound=BaseModel)


async def read(scope: Scope, receive: Receive, schema: type[Model], limit: int) -> Model:
    """Reads and validates the body of a request.

    Args:
        scope: The request's scope, of ASGI.
        receive: Gives what the client sends, of ASGI.
        schema: What the body must be.
        limit: Most bytes of a body.

    Raises:
        ProblemError: If the body is not JSON, too large, or of another shape.
        ClientDisconnectedError: If the client has gone before it was through.
    """
    body = await receive_bytes(scope, receive, limit)
    # pydantic's parser and not `json`: it bounds the depth of nesting and refuses broken UTF-8
    # and lone surrogates, which no tokenizer could take.
    try:
        return schema.model_validate_json(body)
    except ValidationError as error:
        raise _refusal(error, body) from None


async def receive_bytes(scope: Scope, receive: Receive, limit: int, *media_types: str) -> bytes:
    """Reads the body of a request as it is.

    Args:
        scope: The request's scope, of ASGI.
        receive: Gives what the client sends, of ASGI.
        limit: Most bytes of a body.
        media_types: What it may be sent as besides JSON.

    Raises:
        ProblemError: If it is too large, or sent as something else.
        ClientDisconnectedError: If the client has gone before it was through.
    """
    _check_headers(scope, media_types, limit)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnectedError
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body"):
            return b"".join((*parts, part)) if parts else part
        parts.append(part)


def openapi(schema: type[BaseModel]) -> dict[str, Any]:
    """FastAPI's `openapi_extra` of a route that reads this body; `components` has the rest."""
    content = {"schema": {"$ref": f"#/components/schemas/{schema.__name__}"}}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def _too_large(limit: int) -> ProblemError:
    return ProblemError(
        BODY_TOO_LARGE,
        f"expected at most {limit} bytes: send the texts in several requests",
        headers={"Connection": "close"},  # nobody shall wait for what is left of it
    )


def _check_headers(scope: Scope, others: Sequence[str], limit: int) -> None:
    """Refuses a body for what its headers say of it, before any of it is asked for."""
    # A request that names no type is taken for JSON: there is nothing else that it could be.
    named, coding = b"application/json", b"identity"
    for name, value in scope["headers"]:
        if name == b"content-type":
            named = value
        elif name == b"content-encoding":
            coding = value
        elif name == b"content-length" and _is_more(value, limit):
            raise _too_large(limit)
    if named != b"application/json":
        shown = named.decode("latin-1")
        media_type = shown.partition(";")[0].strip().lower()
        taken = ("application/json", *others)
        if media_type not in taken and not media_type.endswith("+json"):
            raise ProblemError(
                UNSUPPORTED_BODY, f"expected Content-Type: {' or '.join(taken)}, received {shown!r}"
            )
    if coding.strip().lower() != b"identity":
        raise ProblemError(
            UNSUPPORTED_BODY,
            f"expected no Content-Encoding, received {coding.decode('latin-1')!r}: send it plain",
        )


def _is_more(number: bytes, limit: int) -> bool:
    # Not every number of any length can be read.
    return number.isdigit() and (len(number) > _MOST_DIGITS or int(number) > limit)


def _refusal(error: ValidationError, body: bytes) -> ProblemError:
    if error.error_count() > _MAX_ERRORS:
        # Telling each of them would hold up every other request.
        return invalid_request(
            [FieldError(detail=f"{error.error_count()} errors in one body", pointer="#")]
        )
    errors = error.errors(include_url=False, include_context=False)
    if errors[0]["type"] == "json_invalid":
        reason = errors[0]["msg"].removeprefix("Invalid JSON: ")
        return ProblemError(MALFORMED_BODY, f"expected a JSON object in UTF-8: {reason}")
    document = from_json(body)
    return invalid_request(
        [FieldError(detail=each["msg"], pointer=pointer(each["loc"], document)) for each in errors]
    )
