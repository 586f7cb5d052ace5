"""HTTP/1.1 clients: one blocking request for checks, and a lean asyncio connection for load."""

import asyncio
import http.client
import re
from collections.abc import Mapping

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection:[ \t]*close", re.IGNORECASE)

Response = asyncio.Future[tuple[int | None, bytes]]
"""The status and the body of an answer; no status if the connection broke."""


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
        self._response: Response | None = None
        self._buffer = bytearray()

    def send(self, request: bytes) -> Response:
        """Sends a request now; the result comes with the answer or when the connection breaks."""
        response: Response = asyncio.get_running_loop().create_future()
        if self._response is not None or not self.usable:
            response.set_result((None, b""))
        else:
            self._response = response
            self._transport.write(request)
        return response

    def abort(self) -> None:
        """Breaks it, as a client does that disconnects."""
        self.usable = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # uvloop's own
        self.usable = True

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`; reads on until the answer is complete."""
        self._buffer += data
        if (answer := complete_answer(self._buffer)) is None:
            return
        status, head, body, _ = answer
        self._buffer.clear()
        if _CLOSES.search(head):
            self.abort()
        self._finish(status, body)

    def connection_lost(self, _: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.usable = False
        self._finish(None, b"")

    def _finish(self, status: int | None, body: bytes) -> None:
        response, self._response = self._response, None
        if response is not None and not response.done():
            response.set_result((status, body))


def complete_answer(received: bytes | bytearray) -> tuple[int, bytes, bytes, bytes] | None:
    """The status, head and body of the first answer, and what is behind it; None if incomplete."""
    head, ends, rest = bytes(received).partition(b"\r\n\r\n")
    if not ends or not head.startswith(b"HTTP/1."):
        return None
    length = _LENGTH.search(head)
    size = int(length[1]) if length else 0
    return (int(head[9:12]), head, rest[:size], rest[size:]) if len(rest) >= size else None


async def connect(port: int) -> Connection:
    """A new connection to a port of this machine.

    Raises:
        OSError: If nothing listens there.
    """
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
    return connection
