"""The bytes of answers to what never becomes a request.

They are sent below any application, so they hold the headers of every answer themselves.
"""

import json
from http import HTTPStatus

from gatewise.service.serving.http.middleware.headers import SECURITY_HEADERS
from gatewise.service.serving.http.protocol.problems import MEDIA_TYPE

_COMMON = tuple(f"{name.decode()}: {value.decode()}" for name, value in SECURITY_HEADERS)


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
    content = json.dumps(problem).encode()
    lines = (
        f"HTTP/1.1 {status} {phrase}",
        f"content-type: {MEDIA_TYPE}",
        f"content-length: {len(content)}",
        *_COMMON,
        "connection: close",
        *headers,
    )
    return "\r\n".join((*lines, "", "")).encode() + content
