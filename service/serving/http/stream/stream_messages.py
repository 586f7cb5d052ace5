"""What is said over `WS /stream`: pieces of a text in, scores out, and why a stream ends.

Owns the JSON of the messages, the kinds of problem that only a stream has, and the code that a
connection is closed with after each. Knows neither connections nor models.
"""

import json
from typing import Self

from gatewise.service.serving.http.protocol import problems
from gatewise.service.serving.http.protocol.problems import FieldError, Kind, ProblemError, pointer
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

DONE = 1000
"""What a stream is closed with whose text has ended."""

# By RFC 6455, section 7.4.1, and the registry of codes that it began.
_REFUSED, _FAILED = 1008, 1011
_CODES = {
    problems.UNSUPPORTED_BODY.name: 1003,
    problems.MALFORMED_BODY.name: 1007,
    problems.INVALID_REQUEST.name: 1007,
    problems.BODY_TOO_LARGE.name: 1009,
    problems.TEXT_TOO_LONG.name: 1009,
    problems.UNEXPECTED.name: _FAILED,
    problems.NOT_READY.name: 1013,
    problems.TOO_MANY_STREAMS.name: 1013,
}


class Piece(BaseModel):
    """A message of the client."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    text: str = Field("", description="What comes next of the text; a word may be cut in two.")
    end: bool = Field(False, description="Whether the text ends with it.")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise PydanticCustomError("nothing", 'expected "text", or "end", or both')
        return self


def piece(message: str) -> Piece:
    """Reads a message of the client.

    Raises:
        ProblemError: If it is not JSON, or of another shape.
    """
    try:
        return Piece.model_validate_json(message)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        reason = first["msg"].removeprefix("Invalid JSON: ")
        raise ProblemError(problems.MALFORMED_BODY, f"expected a JSON object: {reason}")
    place = FieldError(detail=first["msg"], pointer=pointer(first["loc"][:1]))
    raise problems.invalid_request([place])


def scores(
    tokens: int, ranked: list[tuple[str, float]], *, end: bool = False, truncated: bool = False
) -> str:
    """A message that tells the scores of the text so far.

    >>> scores(2, [("ham", 0.75), ("spam", 0.25)], end=True)[:60]
    '{"tokens":2,"scores":[{"label":"ham","score":0.75},{"label":'

    Args:
        tokens: Tokens that were read.
        ranked: The labels with their scores, best first; empty before the first token.
        end: Whether the text has ended.
        truncated: Whether more tokens came than the model reads.
    """
    rows = [{"label": label, "score": score} for label, score in ranked]
    message = {"tokens": tokens, "scores": rows, "end": end, "truncated": truncated}
    return json.dumps(message, separators=(",", ":"))


def code(kind: Kind) -> int:
    """What a connection is closed with after a problem of this kind."""
    return _CODES.get(kind.name, _REFUSED)
