"""The errors in the OpenAPI document, beyond what FastAPI derives from the routes."""

import json
from typing import Any

from gatewise.service.serving.http.protocol.problems import (
    INVALID_REQUEST,
    Kind,
    is_of_inference_protocol,
    responses,
)


def responses_at(path: str, *kinds: Kind) -> dict[str, Any]:
    """Returns the description of these kinds of problem for a route."""
    described = {str(status): each for status, each in responses(*kinds).items()}
    if is_of_inference_protocol(path):
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/InferError"}}}
        return {status: {**each, "content": content} for status, each in described.items()}
    return described


def remove_framework_errors(document: dict[str, Any]) -> None:
    """Removes FastAPI's own errors from an OpenAPI document: they never occur."""
    own = "#/components/schemas/HTTPValidationError"
    for path in document["paths"].values():
        for operation in path.values():
            answers = operation["responses"]
            if own in json.dumps(answers.get(str(INVALID_REQUEST.status))):
                del answers[str(INVALID_REQUEST.status)]
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
