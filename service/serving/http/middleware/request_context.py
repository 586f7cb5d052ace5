"""The context of a request: what the access log and the metrics need to know of it."""

import time
from dataclasses import dataclass, field

from starlette.types import Scope

_KEY = "gatewise.request"


@dataclass(slots=True)
class RequestContext:
    """One request and its answer.

    Attributes:
        id: The id in the log and in the answer's `X-Request-ID`.
        started: The start, on `time.perf_counter`'s clock.
        route: The route, such as `/models/{name}/predict`; empty for none.
        model: The name of the model; empty for none.
        version: The version of the model.
        texts: The texts, if they are to be logged.
        status: The status of the answer, 0 until it is sent; of a stream, its close code.
    """

    id: str
    started: float = field(default_factory=time.perf_counter)
    route: str = ""
    model: str = ""
    version: str = ""
    texts: list[str] | None = None
    status: int = 0


def request_context(scope: Scope) -> RequestContext:
    """Returns the context of a request; a new one if no middleware has made it."""
    found = scope.get(_KEY)
    return found if isinstance(found, RequestContext) else begin(scope, RequestContext("-"))


def begin(scope: Scope, context: RequestContext) -> RequestContext:
    """Sets the context of a request."""
    scope[_KEY] = context
    return context
