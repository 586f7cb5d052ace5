"""Answers to what never becomes a request: the bytes of them, whole.

They are sent below any application, so they say themselves what every answer says. Knows neither
connections nor routes.
"""

import json
from http import HTTPStatus

from gatewise.service.serving.http.middleware.headers import SECURITY_HEADERS
from gatewise.service.serving.http.protocol.problems import MEDIA_TYPE, is_of_inference_protocol

_COMMON = tuple(f"{name.decode()}: {value.decode()}" for name, value in SECURITY_HEADERS)
_BUSY = "the service has as many requests under way as it may: ask again"


def refusal(status: int, detail: str, *headers: str) -> bytes:
    """An answer after which the connection is closed.

    Args:
        status: Its status, which also names the kind of problem.
        detail: What is wrong.
        headers: Further headers, `name: value`.
    """
    phrase = HTTPStatus(status).phrase
    problem = {
        "type": f"urn:gatewise:problem:{phrase.lower().replace(' ', '-')}",
        "title": phrase,
        "status": status,
        "detail": detail,
    }
    return _answer(status, problem, MEDIA_TYPE, "connection: close", *headers)


def too_many_requests(method: str, path: str) -> bytes:
    """The answer to a request that is one too many; its connection goes on.

    Args:
        method: The request's method; what follows HEAD would be taken for the next answer.
        path: Its path: the errors of the Open Inference Protocol have a shape of their own.
    """
    answer = _TOO_MANY_INFERENCES if is_of_inference_protocol(path) else _TOO_MANY_REQUESTS
    return answer.partition(b"{")[0] if method == "HEAD" else answer


def _answer(status: int, document: dict[str, object], media_type: str, *headers: str) -> bytes:
    content = json.dumps(document).encode()
    lines = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"content-type: {media_type}",
        f"content-length: {len(content)}",
        *_COMMON,
        *headers,
    )
    return "\r\n".join((*lines, "", "")).encode() + content


_TOO_MANY_REQUESTS = _answer(
    429,
    {
        "type": "urn:gatewise:problem:too-many-requests",
        "title": HTTPStatus.TOO_MANY_REQUESTS.phrase,
        "status": 429,
        "detail": _BUSY,
    },
    MEDIA_TYPE,
    "retry-after: 1",
)
_TOO_MANY_INFERENCES = _answer(429, {"error": _BUSY}, "application/json", "retry-after: 1")
