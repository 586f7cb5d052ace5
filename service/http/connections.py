"""Connections: how many there may be, how large headers, how slow a client.

uvicorn's own protocol with what it leaves open: a client that sends slowly, sends no end of
headers, or does not take its answer. Knows neither routes nor bodies.
"""

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.http.problems import MEDIA_TYPE

_MOST_HEADERS = 200
_SWEEP_SECONDS = 1.0


@dataclass(slots=True)
class Bounds:
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


class _WholeAnswers:
    """A transport that sends the head of an answer together with the begin of its body.

    uvicorn writes them one after the other, and each write is a call of the kernel, and a packet.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Sends what comes, or keeps it if it is a head that a body follows."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data[:9] == b"HTTP/1.1 " and data[-4:] == b"\r\n\r\n" and data[9:10] != b"1":
            self._head = data
            return
        self._transport.write(data)

    def flush(self) -> None:
        """Sends the head of an answer that turned out to have no body."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def close(self) -> None:
        """Sends what there is, then closes."""
        self.flush()
        self._transport.close()


class Connection(HttpToolsProtocol):
    """A connection that keeps within bounds."""

    bounds: ClassVar[Bounds] = Bounds()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._since = 0.0  # when the request that is being read began; 0 between two
        self._is_reading = False  # between a request's first byte and its last
        self._header_bytes = self._headers = 0
        self._in_headers = False  # between a request's first byte and the end of its headers
        self._stalled = 0.0  # since when the client has taken nothing of what is sent
        self._unsent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Refuses a connection too many."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self.transport = _WholeAnswers(self.transport)  # type: ignore[assignment]
        self._since = self.loop.time()
        if len(self.connections) > self.bounds.connections:
            self._refuse(503, "too many connections", "retry-after: 1")

    def data_received(self, data: bytes) -> None:
        """Reads what came, unless it is more of a header than may be."""
        if not self._is_reading:
            self._is_reading, self._since = True, self.loop.time()
            if b"pgrade" in data and not data.startswith(b"GET "):
                data = _without_wishes(data)
        super().data_received(data)
        if self._in_headers and not self.transport.is_closing():
            # A header without an end is told to nobody: its bytes are counted here.
            self._header_bytes += len(data)
            self._check_headers()

    def on_message_begin(self) -> None:
        """Begins to count anew."""
        super().on_message_begin()
        self._in_headers, self._header_bytes, self._headers = True, 0, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Counts a header."""
        super().on_header(name, value)
        self._headers += 1
        self._header_bytes += len(name) + len(value)

    def on_headers_complete(self) -> None:
        """Lets a request in whose headers keep within bounds."""
        self._header_bytes += len(self.url)
        self._in_headers = False
        if not self._check_headers():
            return
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Begins to answer a request, or refuses it if too many are under way.

        Of a request that is refused not even the body is looked at, and nothing is run for it:
        refusing must cost next to nothing.
        """
        if self.bounds.is_full():
            cycle.response_started = cycle.response_complete = True
            self.transport.write(_TOO_MANY)
            if not cycle.keep_alive:
                self.transport.close()
            self.bounds.refused()
            self.on_response_complete()
            return
        super()._start_asgi_task(cycle, self.bounds.counted(app))

    def on_body(self, body: bytes) -> None:
        """Takes a part of a body, of a request that was let in."""
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Ends a request, of which nothing more is to be read."""
        self._is_reading, self._since = False, 0.0
        if not self.transport.is_closing():
            super().on_message_complete()

    def _get_upgrade(self) -> bytes | None:
        # Only a GET can become a WebSocket (RFC 6455, section 4.1).
        return super()._get_upgrade() if self.scope.get("method") == "GET" else None

    def _unsupported_upgrade_warning(self) -> None:
        """Clients may wish for other protocols as they like: it is no matter for the log."""

    def on_response_complete(self) -> None:
        """Ends an answer, all of which is sent."""
        self.transport.flush()  # type: ignore[attr-defined]
        super().on_response_complete()

    def handle_websocket_upgrade(self) -> None:
        """Hands the connection itself over, without what holds heads back."""
        self.transport = self.transport._transport  # type: ignore[attr-defined]
        super().handle_websocket_upgrade()

    def sweep(self, now: float) -> None:
        """Closes the connection if its client is too slow.

        Args:
            now: The time, on the event loop's clock.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        unsent = transport.get_write_buffer_size()
        if not unsent or unsent != self._unsent:
            self._unsent, self._stalled = unsent, now
        elif now - self._stalled > self.bounds.read_seconds:
            transport.abort()
            return
        if self._since and now - self._since > self.bounds.read_seconds:
            if (
                self.cycle is None
                or self.cycle.response_complete
                or not self.cycle.response_started
            ):
                self._refuse(408, "the request did not come in time")
            else:
                transport.close()

    def _check_headers(self) -> bool:
        if self._headers <= _MOST_HEADERS and self._header_bytes <= self.bounds.header_bytes:
            return True
        self._refuse(431, f"expected at most {self.bounds.header_bytes} bytes of headers")
        return False

    def _refuse(self, status: int, detail: str, *headers: str) -> None:
        """Answers what never becomes a request, and closes."""
        kind = HTTPStatus(status).phrase.lower().replace(" ", "-")
        self.transport.write(_answer(status, kind, detail, "connection: close", *headers))
        self.transport.close()


_WISH = re.compile(rb"\r\nupgrade[ \t]*:", re.IGNORECASE)


def _without_wishes(data: bytes) -> bytes:
    """The begin of a request without its wish for another protocol, which a server may ignore.

    Some clients have one with their first request of every connection (h2c, RFC 7540, section
    3.2), and the parser below takes what follows the headers for that protocol's, not for a body.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    return _WISH.sub(b"\r\nx-upgrade:", head) + end + rest


def _answer(status: int, kind: str, detail: str, *headers: str) -> bytes:
    """The bytes of a refusal that never becomes a request."""
    phrase = HTTPStatus(status).phrase
    problem = {
        "type": f"urn:gatewise:problem:{kind}",
        "title": phrase,
        "status": status,
        "detail": detail,
    }
    content = json.dumps(problem).encode()
    lines = (
        f"HTTP/1.1 {status} {phrase}",
        f"content-type: {MEDIA_TYPE}",
        f"content-length: {len(content)}",
        *headers,
    )
    return "\r\n".join((*lines, "", "")).encode() + content


_TOO_MANY = _answer(
    429,
    "too-many-requests",
    "the service has as many requests under way as it may: ask again",
    "retry-after: 1",
)


def bounded(bounds: Bounds) -> type[Connection]:
    """The protocol for uvicorn, with these bounds."""
    return type("BoundedConnection", (Connection,), {"bounds": bounds})


async def sweeping(connections: set[Any]) -> None:
    """Looks after slow clients, for as long as the server runs.

    Args:
        connections: Those that are open, as uvicorn keeps them.
    """
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        now = loop.time()
        for connection in tuple(connections):
            if isinstance(connection, Connection):
                connection.sweep(now)
