"""How bytes leave a connection: in as few writes as there can be, the last of them not lost.

Knows nothing of HTTP but how an answer begins.
"""

import asyncio
from collections.abc import Callable
from typing import Any

_LINGER_SECONDS = 2.0
"""How long a client may go on sending after the answer that closes its connection."""


class Transport:
    """A transport that sends an answer's head with the begin of its body, and closes with care.

    uvicorn writes them one after the other, and each write is a call of the kernel, and a packet.
    A connection that is closed while its client still sends is reset, and the client may never see
    the answer that told it why; so what it sends is taken, for a moment, and thrown away.

    Args:
        transport: The transport itself.
        is_sending: Tells whether the client has not sent all of its request yet.

    Attributes:
        is_lingering: Whether what comes is to be thrown away.
    """

    def __init__(self, transport: asyncio.Transport, is_sending: Callable[[], bool]) -> None:
        self._transport = transport
        self._is_sending = is_sending
        self._head = b""
        self.is_lingering = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    @property
    def plain(self) -> asyncio.Transport:
        """The transport itself."""
        return self._transport

    def is_closing(self) -> bool:
        """Whether nothing more is to be sent."""
        return self.is_lingering or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Sends what comes, or keeps it if it is a head that a body follows."""
        if self.is_closing():  # of an answer before the one that closed the connection
            return
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
        """Sends what there is, then closes: at once, if the client has sent all it wanted to."""
        self.flush()
        if self.is_closing() or not self._is_sending() or not self._transport.can_write_eof():
            self._transport.close()
            return
        self.is_lingering = True
        self._transport.write_eof()
        if not self._transport.is_reading():  # a body that nobody reads is not read from here on
            self._transport.resume_reading()
        asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._transport.close)
