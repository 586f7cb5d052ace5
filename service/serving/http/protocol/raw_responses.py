"""The bytes of an answer that a connection sends by itself, before there is a request."""

from http import HTTPStatus

from gatewise.service.serving.http.middleware.headers import SECURITY_HEADERS
from gatewise.service.serving.http.protocol import problems
from gatewise.service.serving.http.protocol.problems import ProblemError


def refusal(problem: ProblemError) -> bytes:
    """Returns the answer with a problem, after which the connection is closed."""
    content = problems.document(None, problem).encode()
    status = HTTPStatus(problem.kind.status)
    lines = (
        f"HTTP/1.1 {status} {status.phrase}",
        f"content-type: {problems.MEDIA_TYPE}",
        f"content-length: {len(content)}",
        # No middleware adds them here.
        *(f"{name.decode()}: {value.decode()}" for name, value in SECURITY_HEADERS),
        "connection: close",
        *(f"{name.lower()}: {value}" for name, value in problem.headers.items()),
    )
    return "\r\n".join((*lines, "", "")).encode() + content
