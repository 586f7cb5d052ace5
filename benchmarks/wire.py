"""One HTTP/1.1 connection of a client, as little of it as load needs: it asks, it is answered.

Knows bytes and statuses; neither when to ask nor what an answer means.
"""

import asyncio
import re
from collections.abc import Callable

_HEAD_ENDS = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection:[ \t]*close", re.IGNORECASE)

Done = Callable[["Connection", int | None, bytes], None]
"""Is called with the connection, the status, and the body; no status if it broke instead."""


class Connection(asyncio.Protocol):
    """A connection that has one request under way at most.

    Attributes:
        usable: Whether another request can be asked over it.
    """

    def __init__(self) -> None:
        self.usable = False
        self._done: Done | None = None
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()

    def ask(self, request: bytes, done: Done) -> None:
        """Sends a request; `done` is called once, when it is answered or the connection breaks."""
        if self._transport is None or self._done is not None or not self.usable:
            done(self, None, b"")
            return
        self._done = done
        self._transport.write(request)

    def abort(self) -> None:
        """Breaks it, as a client does that has gone."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps what it writes to."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's is no subclass
        self.usable = True

    def data_received(self, data: bytes) -> None:
        """Reads on until the answer is whole."""
        self._buffer += data
        ends = self._buffer.find(_HEAD_ENDS)
        if ends < 0:
            return
        head = bytes(self._buffer[:ends])
        length = _LENGTH.search(head)
        whole = ends + len(_HEAD_ENDS) + (int(length[1]) if length else 0)
        if len(self._buffer) < whole:
            return
        body = bytes(self._buffer[ends + len(_HEAD_ENDS) : whole])
        self._buffer.clear()
        if _CLOSES.search(head):
            self.abort()
        self._finish(int(head[9:12]), body)

    def connection_lost(self, _: Exception | None) -> None:
        """Tells who waits that no answer will come."""
        self.usable = False
        self._finish(None, b"")

    def _finish(self, status: int | None, body: bytes) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(self, status, body)


async def connected(port: int) -> Connection:
    """A new connection to a port of this machine.

    Raises:
        OSError: If nothing listens there.
    """
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
    return connection


def asking(connection: Connection, request: bytes) -> asyncio.Future[tuple[int | None, bytes]]:
    """Sends a request now; what is returned becomes the status and the body, as for `Done`."""
    answered: asyncio.Future[tuple[int | None, bytes]] = asyncio.get_running_loop().create_future()

    def done(_: Connection, status: int | None, body: bytes) -> None:
        answered.set_result((status, body))

    connection.ask(request, done)
    return answered
