"""One request and its answer, as they are logged and counted."""

import time
from dataclasses import dataclass, field

from starlette.types import Scope

_KEY = "gatewise.exchange"


@dataclass(slots=True)
class RequestContext:
    """What is known of a request while it is answered.

    Attributes:
        id: Names it in the log and in the answer's `X-Request-ID`.
        started: When it began, on `time.perf_counter`'s clock.
        route: The route it took, such as `/models/{name}/predict`; empty for none.
        model: The model that was asked, if one was.
        version: The version of it.
        texts: The texts, where they are to be logged.
        status: The status of the answer; 0 until it is sent. Of a stream, the code that it was
            closed with.
    """

    id: str
    started: float = field(default_factory=time.perf_counter)
    route: str = ""
    model: str = ""
    version: str = ""
    texts: list[str] | None = None
    status: int = 0


def request_context(scope: Scope) -> RequestContext:
    """The exchange that a request belongs to; one of its own where none was begun for it."""
    found = scope.get(_KEY)
    return found if isinstance(found, RequestContext) else begin(scope, RequestContext("-"))


def begin(scope: Scope, exchange: RequestContext) -> RequestContext:
    """Makes a request part of an exchange."""
    scope[_KEY] = exchange
    return exchange
