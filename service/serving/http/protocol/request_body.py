"""Reads JSON bodies: checks the media type, then the size, then the schema.

The size is counted while reading, so that a body with a wrong length, or none, takes no more memory
than the limit.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.types import Receive, Scope

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

PROBLEMS: tuple[Kind, ...] = (MALFORMED_BODY, BODY_TOO_LARGE, UNSUPPORTED_BODY)
"""The problems of any body, besides those of its schema."""

_MOST_DIGITS = 20
_MAX_ERRORS = 100
"""The most errors of a body that are listed: more would hold up other requests."""

Schema = TypeVar("Schema", bound=BaseModel)


async def read(scope: Scope, receive: Receive, schema: type[Schema], limit: int) -> Schema:
    """Reads and validates the body of a request."""
    return parse(schema, await receive_bytes(scope, receive, limit))


def parse(schema: type[Schema], document: bytes | str) -> Schema:
    """Parses and validates a JSON document.

    Raises:
        ProblemError: If it is not JSON, or does not match the schema.
    """
    # pydantic's parser, unlike `json`, limits the depth of nesting and refuses broken UTF-8 and
    # lone surrogates, which no tokenizer takes. But it reads NaN and Infinity, which are not JSON.
    contents = (
        document if isinstance(document, bytes) else document.encode("utf-8", "surrogatepass")
    )
    if b"NaN" in contents or b"Infinity" in contents:
        _check_json(contents)
    try:
        return schema.model_validate_json(document)
    except ValidationError as error:
        raise _refusal(error, document) from None


def _check_json(document: bytes) -> None:
    """Refuses the numbers that JSON does not have; in a string they are text."""
    try:
        from_json(document, allow_inf_nan=False)
    except ValueError as error:
        raise ProblemError(
            MALFORMED_BODY,
            f"expected a JSON object in UTF-8, without NaN and Infinity: {error}; a missing number "
            "is null",
        ) from None


async def receive_bytes(scope: Scope, receive: Receive, limit: int, *media_types: str) -> bytes:
    """Reads the bytes of a body."""
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
    """Returns FastAPI's `openapi_extra` of a route with this body."""
    content = {"schema": {"$ref": f"#/components/schemas/{schema.__name__}"}}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def _too_large(limit: int) -> ProblemError:
    return ProblemError(
        BODY_TOO_LARGE,
        f"expected at most {limit} bytes: send the texts in several requests",
        headers={"Connection": "close"},  # the rest of it is not read
    )


def _check_headers(scope: Scope, others: Sequence[str], limit: int) -> None:
    """Refuses a body for its headers, before any of it is read."""
    # A request without a media type is taken as JSON.
    content_type, coding = b"application/json", b"identity"
    for name, value in scope["headers"]:
        if name == b"content-type":
            content_type = value
        elif name == b"content-encoding":
            coding = value
        elif name == b"content-length" and _exceeds(value, limit):
            raise _too_large(limit)
    if content_type != b"application/json":
        received = content_type.decode("latin-1")
        media_type = received.partition(";")[0].strip().lower()
        accepted = ("application/json", *others)
        if media_type not in accepted and not media_type.endswith("+json"):
            raise ProblemError(
                UNSUPPORTED_BODY,
                f"expected Content-Type: {' or '.join(accepted)}, received {received!r}",
            )
    if coding.strip().lower() != b"identity":
        raise ProblemError(
            UNSUPPORTED_BODY,
            f"expected no Content-Encoding, received {coding.decode('latin-1')!r}: "
            "send the body uncompressed",
        )


def _exceeds(number: bytes, limit: int) -> bool:
    # int() refuses numbers of thousands of digits.
    return number.isdigit() and (len(number) > _MOST_DIGITS or int(number) > limit)


def _refusal(error: ValidationError, body: bytes | str) -> ProblemError:
    if error.error_count() > _MAX_ERRORS:
        return invalid_request(
            [FieldError(detail=f"{error.error_count()} errors in one body", pointer="#")]
        )
    errors = error.errors(include_url=False, include_context=False)
    if errors[0]["type"] == "json_invalid":
        reason = errors[0]["msg"].removeprefix("Invalid JSON: ")
        return ProblemError(MALFORMED_BODY, f"expected a JSON object in UTF-8: {reason}")
    document = from_json(body)
    return invalid_request(
        [
            FieldError(detail=entry["msg"], pointer=pointer(entry["loc"], document))
            for entry in errors
        ]
    )
