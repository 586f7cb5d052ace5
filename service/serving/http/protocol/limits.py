"""What clients may take of a process: connections, headers, time, requests under way.

Knows how many requests are under way; neither connections nor what is asked.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.types import Receive, Scope, Send


@dataclass(slots=True)
class Limits:
    """What clients may take.

    Attributes:
        connections: Connections at a time.
        header_bytes: Bytes of a request's line and headers.
        read_seconds: Seconds to send a request, or to take an answer.
        requests: Requests under way at a time, of all connections.
        refused: Called for each request that is one too many.
        under_way: How many there are.
    """

    connections: int = 4096
    header_bytes: int = 32 * 1024
    read_seconds: float = 30.0
    requests: int = 1024
    refused: Callable[[], None] = lambda: None
    under_way: int = 0

    def is_full(self) -> bool:
        """Whether no more request may begin."""
        return self.under_way >= self.requests

    def counted(self, app: Any) -> Any:
        """The application, for a request that is under way from now until it is answered."""
        self.under_way += 1

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            finally:
                self.under_way -= 1

        return answer
