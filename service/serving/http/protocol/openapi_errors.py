"""What an OpenAPI document says of errors, beside what FastAPI finds out by itself.

Knows the shapes of errors and the paths that have each, and no route.
"""

import json
from typing import Any

from gatewise.service.serving.http.protocol.problems import (
    INVALID_REQUEST,
    Kind,
    is_of_inference_protocol,
    responses,
)


def responses_at(path: str, *kinds: Kind) -> dict[str, Any]:
    """What an OpenAPI document says of these kinds of problem for a route at a path."""
    described = {str(status): each for status, each in responses(*kinds).items()}
    if is_of_inference_protocol(path):
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/InferError"}}}
        return {status: {**each, "content": content} for status, each in described.items()}
    return described


def take_out_frameworks_errors(document: dict[str, Any]) -> None:
    """Takes out of an OpenAPI document what FastAPI says of its own errors: none are answered."""
    own = "#/components/schemas/HTTPValidationError"
    for path in document["paths"].values():
        for operation in path.values():
            answers = operation["responses"]
            if own in json.dumps(answers.get(str(INVALID_REQUEST.status))):
                del answers[str(INVALID_REQUEST.status)]
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
