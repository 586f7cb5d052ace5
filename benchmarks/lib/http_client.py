"""HTTP/1.1 clients: one blocking request for checks, and a lean asyncio connection for load."""

import asyncio
import http.client
import re
from collections.abc import Callable, Mapping

_HEAD_ENDS = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection:[ \t]*close", re.IGNORECASE)

Done = Callable[["Connection", int | None, bytes], None]
"""Is called with the connection, the status, and the body; no status if the connection broke."""


def send(
    port: int, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """The status and the body that a server on this machine answers; POST if there is a body.

    Raises:
        OSError: If nothing answers.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        content = {"Content-Type": "application/json"} if body is not None else {}
        method = "GET" if body is None else "POST"
        connection.request(method, path, body, {**content, **(headers or {})})
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.HTTPException as error:
        raise ConnectionError(f"expected an HTTP response, received {error!r}") from None
    finally:
        connection.close()


def get_status(port: int, path: str) -> int | None:
    """What a path answers to GET with; None if nothing answers."""
    try:
        return send(port, path)[0]
    except OSError:
        return None


class Connection(asyncio.Protocol):
    """A connection that has one request in flight at most.

    Attributes:
        usable: Whether another request can be sent over it.
    """

    def __init__(self) -> None:
        self.usable = False
        self._done: Done | None = None
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()

    def send(self, request: bytes, done: Done) -> None:
        """Sends a request; `done` is called once, on the answer or when the connection breaks."""
        if self._transport is None or self._done is not None or not self.usable:
            done(self, None, b"")
            return
        self._done = done
        self._transport.write(request)

    def abort(self) -> None:
        """Breaks it, as a client does that disconnects."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's is no subclass
        self.usable = True

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`; reads on until the answer is complete."""
        self._buffer += data
        ends = self._buffer.find(_HEAD_ENDS)
        if ends < 0:
            return
        head = bytes(self._buffer[:ends])
        length = _LENGTH.search(head)
        size = ends + len(_HEAD_ENDS) + (int(length[1]) if length else 0)
        if len(self._buffer) < size:
            return
        body = bytes(self._buffer[ends + len(_HEAD_ENDS) : size])
        self._buffer.clear()
        if _CLOSES.search(head):
            self.abort()
        self._finish(int(head[9:12]), body)

    def connection_lost(self, _: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.usable = False
        self._finish(None, b"")

    def _finish(self, status: int | None, body: bytes) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(self, status, body)


async def connect(port: int) -> Connection:
    """A new connection to a port of this machine.

    Raises:
        OSError: If nothing listens there.
    """
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
    return connection


def response_to(connection: Connection, request: bytes) -> asyncio.Future[tuple[int | None, bytes]]:
    """Sends a request now; what is returned becomes the status and the body, as for `Done`."""
    response: asyncio.Future[tuple[int | None, bytes]] = asyncio.get_running_loop().create_future()

    def done(_: Connection, status: int | None, body: bytes) -> None:
        response.set_result((status, body))

    connection.send(request, done)
    return response
