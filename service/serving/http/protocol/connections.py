"""Connections: how many there may be, how large headers, how slow a client.

uvicorn's own protocol with what it leaves open: a client that sends slowly, sends no end of
headers, or does not take its answer. Overrides what is public of it, and nothing else.
"""

import asyncio
from typing import Any, ClassVar

import httptools
from gatewise.service.serving.http.protocol import problems, raw_responses
from gatewise.service.serving.http.protocol.buffered_transport import Transport
from gatewise.service.serving.http.protocol.limits import Limits
from gatewise.service.serving.http.protocol.problems import Kind, ProblemError
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_MOST_HEADERS = 200
_MOST_AHEAD = 1000
"""Requests that a client may send before those before them are answered."""

_SWEEP_SECONDS = 1.0


class _Parser(httptools.HttpRequestParser):
    """httptools' parser, which keeps where another protocol would begin instead of raising it.

    Attributes:
        upgraded_at: Where that is in the data that came last; None as long as it is HTTP.
    """

    upgraded_at: int | None = None

    def __init__(self, protocol: "Connection") -> None:
        super().__init__(protocol)
        self.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # it takes more types
        """Reads what came, up to the end of a request that wishes for another protocol."""
        try:
            super().feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.upgraded_at = upgrade.args[0]


class Connection(HttpToolsProtocol):
    """A connection that keeps within bounds."""

    bounds: ClassVar[Limits] = Limits()
    transport: Transport  # type: ignore[assignment]
    parser: _Parser

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.parser = _Parser(self)
        self._since = 0.0  # when the request that is being read began; 0 between two
        self._is_reading = False  # between a request's first byte and its last
        self._in_headers = False  # between a request's first byte and the end of its headers
        self._headers = self._header_bytes = 0  # that were read, trailers included
        self._raw_bytes = 0  # that came of the headers, or later since anything was read
        self._begun = 0  # requests that began in what came last
        self._has_read = False  # whether anything was read of it
        self._is_wished = False  # whether the headers wish for a protocol that is not spoken
        self._is_stream = False  # whether they wish for a WebSocket
        self._stalled = 0.0  # since when the client has taken nothing of what is sent
        self._unsent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Refuses a connection too many."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self.transport = Transport(
            self.transport,  # type: ignore[arg-type]
            lambda: self._is_reading,
        )
        self._since = self.loop.time()
        if len(self.connections) > self.bounds.connections:
            self._refuse(problems.TOO_MANY_CONNECTIONS, "too many connections")

    def data_received(self, data: bytes) -> None:
        """Reads what came, unless it is more of headers than may be."""
        if self.transport.is_lingering:
            return
        is_first = not self._is_reading
        if is_first:
            self._is_reading, self._since = True, self.loop.time()
        self._begun, self._has_read = 0, False
        super().data_received(data)
        self._go_on_behind_wishes(data)
        # A header, a trailer, or what stands beside a chunk's length, without an end, is told to
        # nobody: its bytes are counted here, unless it is unknown where they begin.
        if self._in_headers:
            if self._begun == is_first:
                self._raw_bytes += len(data)
        elif self._has_read or not self._is_reading:
            self._raw_bytes = 0
        else:
            self._raw_bytes += len(data)
        self._check_headers()

    def on_message_begin(self) -> None:
        """Begins to count anew."""
        super().on_message_begin()
        self._begun += 1
        self._in_headers, self._is_wished, self._is_stream = True, False, False
        self._headers = self._header_bytes = self._raw_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Counts a part of the request's line."""
        super().on_url(url)
        self._has_read = True
        self._header_bytes += len(url)
        self._check_headers()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Counts a header, or a trailer, which nobody looks at."""
        if self._in_headers:
            super().on_header(name, value)
        self._has_read = True
        self._headers += 1
        self._header_bytes += len(name) + len(value) + 4  # the colon, a blank, the line's end
        self._check_headers()

    def on_headers_complete(self) -> None:
        """Lets a request in whose headers keep within bounds."""
        self._in_headers = False
        if self.transport.is_closing():
            return
        self.scope["method"] = self.parser.get_method().decode("ascii")
        if self.parser.should_upgrade():
            # Only a GET can become a WebSocket (RFC 6455, section 4.1); another protocol may be
            # wished for (h2c, RFC 7540, section 3.2), and a server may ignore that.
            self._is_stream = self.scope["method"] == "GET" and _is_websocket(self.headers)
            if not self._is_stream:
                self.headers[:] = [one for one in self.headers if one[0] != b"upgrade"]
                self._is_wished = self.scope["method"] != "CONNECT"
        if not self._is_wished:
            super().on_headers_complete()
            if len(self.pipeline) > _MOST_AHEAD:
                self.transport.close()

    def on_body(self, body: bytes) -> None:
        """Takes a part of a body, of a request that was let in."""
        self._has_read = True
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Ends a request, of which nothing more is to be read."""
        if self._is_wished:
            return
        self._is_reading, self._since = False, 0.0
        if not self.transport.is_closing():
            super().on_message_complete()

    def _go_on_behind_wishes(self, data: bytes) -> None:
        """Goes on as if no other protocol had been wished for, unless it is that of WebSockets.

        The parser takes what follows the headers for the other protocol's, not for a body; so a
        new one gets the headers again, without the wish.

        Args:
            data: What came last.
        """
        while self.parser.upgraded_at is not None and not self.transport.is_closing():
            if self._is_stream:
                self.handle_websocket_upgrade()
            if not self._is_wished:
                return
            line = b"%b %b HTTP/%b" % (
                self.scope["method"].encode(),
                self.url,
                self.parser.get_http_version().encode(),
            )
            headers = (b"%b: %b" % header for header in self.headers)
            data = b"\r\n".join((line, *headers, b"", b"")) + data[self.parser.upgraded_at :]
            self.parser = _Parser(self)
            super().data_received(data)

    def on_response_complete(self) -> None:
        """Ends an answer, all of which is sent, and goes on with a request that waits for it."""
        self.transport.flush()
        super().on_response_complete()
        if self.pipeline and not self.transport.is_closing():
            self.flow.pause_reading()  # what waits is answered before more is read

    def handle_websocket_upgrade(self) -> None:
        """Hands the connection itself over, if no other answer is still to be sent on it."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.close()
            return
        self.transport = self.transport.plain  # type: ignore[assignment]
        super().handle_websocket_upgrade()

    def shutdown(self) -> None:
        """Closes the connection, unless there is something to answer; then after that."""
        super().shutdown()
        if self.transport.is_lingering:
            self.transport.close()

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
            self._refuse(problems.REQUEST_TIMEOUT, "the request did not come in time")

    def _check_headers(self) -> None:
        most = self.bounds.header_bytes
        if self._headers > _MOST_HEADERS or max(self._header_bytes, self._raw_bytes) > most:
            self._refuse(problems.HEADERS_TOO_LARGE, f"expected at most {most} bytes of headers")

    def _refuse(self, kind: Kind, detail: str) -> None:
        """Answers what never becomes a request, and closes."""
        if self.transport.is_closing():
            return
        if self._is_next():
            self.transport.write(raw_responses.refusal(ProblemError(kind, detail)))
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP, and closes."""
        if self._is_next():
            super().send_400_response(msg)
        else:
            self.transport.close()

    def _is_next(self) -> bool:
        """Whether a refusal can be sent, and would not be taken for a part of another answer."""
        cycle = self.cycle
        if cycle is None:
            return True
        if self._in_headers:
            return cycle.response_complete
        return not cycle.response_started and not self.pipeline


def _is_websocket(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether headers wish for a WebSocket; uvicorn looks at the last of each name too."""
    named = dict(headers)
    tokens = named.get(b"connection", b"").lower().split(b",")
    is_upgrade = b"upgrade" in (token.strip() for token in tokens)
    return is_upgrade and named.get(b"upgrade", b"").lower() == b"websocket"


def bounded(bounds: Limits) -> type[Connection]:
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
