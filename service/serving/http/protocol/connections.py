"""uvicorn's HTTP protocol with limits: connections, header bytes, seconds for slow clients.

It overrides public methods of uvicorn only.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gatewise.service.serving.http.middleware.headers import SECURITY_HEADERS
from gatewise.service.serving.http.protocol import problems
from gatewise.service.serving.http.protocol.problems import Kind, ProblemError
from gatewise.service.serving.settings import Settings

_MAX_HEADERS = 200
_MAX_PIPELINED = 1000
"""The most requests of a connection that wait for the answers to earlier ones."""

_LINGER_SECONDS = 2.0
"""Seconds for which a client may go on sending after the answer that closes its connection."""


class Transport:
    """A transport that joins the head of an answer to its body, and lingers when it closes.

    uvicorn writes head and body separately, and each write is a system call and a packet. Closing a
    connection while its client still sends resets it, and the client may never see the answer;
    therefore what it sends is read and discarded for a moment.

    Attributes:
        is_lingering: Whether received data is to be discarded.
    """

    def __init__(self, transport: asyncio.Transport, is_sending: Callable[[], bool]) -> None:
        self.plain = transport
        self._is_sending = is_sending
        self._head = b""
        self.is_lingering = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)

    def is_closing(self) -> bool:
        """Whether nothing more may be sent."""
        return self.is_lingering or self.plain.is_closing()

    def write(self, data: bytes) -> None:
        """Sends data, or keeps it if it is the head of an answer."""
        if self.is_closing():  # an answer before the one that closed the connection
            return
        if self._head:
            data, self._head = self._head + data, b""
        elif data[:9] == b"HTTP/1.1 " and data[-4:] == b"\r\n\r\n" and data[9:10] != b"1":
            self._head = data
            return
        self.plain.write(data)

    def flush(self) -> None:
        """Sends the head of an answer without a body."""
        if self._head:
            self.plain.write(self._head)
            self._head = b""

    def close(self) -> None:
        """Closes after sending, and lingers if the client is still sending."""
        self.flush()
        if self.is_closing() or not self._is_sending() or not self.plain.can_write_eof():
            self.plain.close()
            return
        self.is_lingering = True
        self.plain.write_eof()
        if not self.plain.is_reading():  # reading pauses while no one reads a body
            self.plain.resume_reading()
        asyncio.get_running_loop().call_later(_LINGER_SECONDS, self.plain.close)


class _RequestParser(httptools.HttpRequestParser):
    """httptools' parser, which stores the position of an upgrade instead of raising it."""

    # The end of the headers in the latest data if they ask for another protocol; None
    # otherwise.
    upgraded_at: int | None = None

    def __init__(self, protocol: "Connection") -> None:
        super().__init__(protocol)
        self.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # it takes more types
        """Parses data, up to the end of headers that ask for another protocol."""
        try:
            super().feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.upgraded_at = upgrade.args[0]


class Connection(HttpToolsProtocol):
    """A connection with limits."""

    settings: ClassVar[Settings]
    transport: Transport  # type: ignore[assignment]
    parser: _RequestParser

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.parser = _RequestParser(self)
        self._since = 0.0  # start of the request that is being read; 0 between requests
        self._is_reading = False  # between the first and the last byte of a request
        self._in_headers = False  # between the first byte of a request and the end of its headers
        self._headers = self._header_bytes = 0  # parsed so far, trailers included
        self._raw_bytes = 0  # received in the headers, or since anything was parsed
        self._begun = 0  # requests that began in the latest data
        self._has_parsed = False  # whether anything of the latest data was parsed
        self._ignores_upgrade = False  # the headers ask for a protocol that is not supported
        self._is_websocket = False  # the headers ask for a WebSocket
        self._stalled = 0.0  # since when the client has read nothing
        self._unsent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Refuses a connection above the limit."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self.transport = Transport(
            self.transport,  # type: ignore[arg-type]
            lambda: self._is_reading,
        )
        self._since = self.loop.time()
        if len(self.connections) > self.settings.max_connections:
            self._refuse(problems.TOO_MANY_CONNECTIONS, "too many connections")

    def data_received(self, data: bytes) -> None:
        """Parses data, and refuses headers that are too large."""
        if self.transport.is_lingering:
            return
        is_first = not self._is_reading
        if is_first:
            self._is_reading, self._since = True, self.loop.time()
        self._begun, self._has_parsed = 0, False
        super().data_received(data)
        self._ignore_upgrade(data)
        # The parser reports neither a header nor a trailer nor a chunk extension before its end:
        # their bytes are counted here, unless it is unknown where they begin.
        if self._in_headers:
            if self._begun == is_first:
                self._raw_bytes += len(data)
        elif self._has_parsed or not self._is_reading:
            self._raw_bytes = 0
        else:
            self._raw_bytes += len(data)
        self._check_headers()

    def on_message_begin(self) -> None:
        """Resets the counts."""
        super().on_message_begin()
        self._begun += 1
        self._in_headers, self._ignores_upgrade, self._is_websocket = True, False, False
        self._headers = self._header_bytes = self._raw_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Counts bytes of the request line."""
        super().on_url(url)
        self._has_parsed = True
        self._header_bytes += len(url)
        self._check_headers()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Counts a header, or a trailer, which is ignored."""
        if self._in_headers:
            super().on_header(name, value)
        self._has_parsed = True
        self._headers += 1
        self._header_bytes += len(name) + len(value) + 4  # ": " and the line end
        self._check_headers()

    def on_headers_complete(self) -> None:
        """Starts a request."""
        self._in_headers = False
        if self.transport.is_closing():
            return
        self.scope["method"] = self.parser.get_method().decode("ascii")
        if self.parser.should_upgrade():
            # Only a GET can become a WebSocket (RFC 6455, section 4.1). A request for another
            # protocol, such as h2c (RFC 7540, section 3.2), may be ignored.
            self._is_websocket = self.scope["method"] == "GET" and _asks_for_websocket(self.headers)
            if not self._is_websocket:
                self.headers[:] = [header for header in self.headers if header[0] != b"upgrade"]
                self._ignores_upgrade = self.scope["method"] != "CONNECT"
        if not self._ignores_upgrade:
            super().on_headers_complete()
            if len(self.pipeline) > _MAX_PIPELINED:
                self.transport.close()

    def on_body(self, body: bytes) -> None:
        """Takes a part of a body."""
        self._has_parsed = True
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Ends reading a request."""
        if self._ignores_upgrade:
            return
        self._is_reading, self._since = False, 0.0
        if not self.transport.is_closing():
            super().on_message_complete()

    def _ignore_upgrade(self, data: bytes) -> None:
        """Continues with HTTP after headers that ask for a protocol other than WebSocket.

        The parser takes what follows such headers for the other protocol, not for a body. A new
        parser gets the headers again without `Upgrade`.
        """
        while self.parser.upgraded_at is not None and not self.transport.is_closing():
            if self._is_websocket:
                self.handle_websocket_upgrade()
            if not self._ignores_upgrade:
                return
            line = b"%b %b HTTP/%b" % (
                self.scope["method"].encode(),
                self.url,
                self.parser.get_http_version().encode(),
            )
            headers = (b"%b: %b" % header for header in self.headers)
            data = b"\r\n".join((line, *headers, b"", b"")) + data[self.parser.upgraded_at :]
            self.parser = _RequestParser(self)
            super().data_received(data)

    def on_response_complete(self) -> None:
        """Ends an answer, and starts the next pipelined request."""
        self.transport.flush()
        super().on_response_complete()
        if self.pipeline and not self.transport.is_closing():
            self.flow.pause_reading()  # the pipelined requests are answered before more is read

    def handle_websocket_upgrade(self) -> None:
        """Hands the plain transport over, if no answer is still to be sent on it."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.close()
            return
        self.transport = self.transport.plain  # type: ignore[assignment]
        super().handle_websocket_upgrade()

    def shutdown(self) -> None:
        """Closes the connection, after the answer that is due."""
        super().shutdown()
        if self.transport.is_lingering:
            self.transport.close()

    def sweep(self, now: float) -> None:
        """Closes the connection if its client is too slow."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        unsent = transport.get_write_buffer_size()
        if not unsent or unsent != self._unsent:
            self._unsent, self._stalled = unsent, now
        elif now - self._stalled > self.settings.read_seconds:
            transport.abort()
            return
        if self._since and now - self._since > self.settings.read_seconds:
            self._refuse(problems.REQUEST_TIMEOUT, "the request did not come in time")

    def _check_headers(self) -> None:
        limit = self.settings.max_header_bytes
        if max(self._header_bytes, self._raw_bytes) > limit:
            self._refuse(problems.HEADERS_TOO_LARGE, f"expected at most {limit} bytes of headers")
        elif self._headers > _MAX_HEADERS:
            self._refuse(problems.HEADERS_TOO_LARGE, f"expected at most {_MAX_HEADERS} headers")

    def _refuse(self, kind: Kind, detail: str) -> None:
        """Answers with a problem, outside of any request, and closes."""
        if self.transport.is_closing():
            return
        if self._is_next():
            self.transport.write(_raw_answer(ProblemError(kind, detail)))
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answers data that is not HTTP, and closes."""
        if self._is_next():
            super().send_400_response(msg)
        else:
            self.transport.close()

    def _is_next(self) -> bool:
        """Whether a refusal would not be taken for a part of another answer."""
        cycle = self.cycle
        if cycle is None:
            return True
        if self._in_headers:
            return cycle.response_complete
        return not cycle.response_started and not self.pipeline


def _asks_for_websocket(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether headers ask for a WebSocket; the last header of a name counts, as in uvicorn."""
    named = dict(headers)
    tokens = named.get(b"connection", b"").lower().split(b",")
    is_upgrade = b"upgrade" in (token.strip() for token in tokens)
    return is_upgrade and named.get(b"upgrade", b"").lower() == b"websocket"


def _raw_answer(problem: ProblemError) -> bytes:
    """The bytes of an answer outside of any request, after which the connection is closed."""
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


def limited(settings: Settings) -> type[Connection]:
    """Returns uvicorn's protocol class with the limits of these settings."""
    return type("LimitedConnection", (Connection,), {"settings": settings})


def sweep(connections: set[Any]) -> None:
    """Closes the connections of slow clients."""
    now = asyncio.get_running_loop().time()
    for connection in tuple(connections):
        if isinstance(connection, Connection):
            connection.sweep(now)
