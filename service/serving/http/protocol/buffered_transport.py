"""A transport that sends an answer in as few writes as possible, and closes without losing it."""

import asyncio
from collections.abc import Callable
from typing import Any

_LINGER_SECONDS = 2.0
"""Seconds for which a client may go on sending after the answer that closes its connection."""


class Transport:
    """A transport that joins the head of an answer to its body, and lingers when it closes.

    uvicorn writes head and body separately, and each write is a system call and a packet. Closing a
    connection while its client still sends resets it, and the client may never see the answer;
    therefore what it sends is read and discarded for a moment.

    Args:
        transport: The plain transport.
        is_sending: Whether the client has not sent all of its request yet.

    Attributes:
        is_lingering: Whether received data is to be discarded.
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
        """The plain transport."""
        return self._transport

    def is_closing(self) -> bool:
        """Whether nothing more may be sent."""
        return self.is_lingering or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Sends data, or keeps it if it is the head of an answer."""
        if self.is_closing():  # an answer before the one that closed the connection
            return
        if self._head:
            data, self._head = self._head + data, b""
        elif data[:9] == b"HTTP/1.1 " and data[-4:] == b"\r\n\r\n" and data[9:10] != b"1":
            self._head = data
            return
        self._transport.write(data)

    def flush(self) -> None:
        """Sends the head of an answer without a body."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def close(self) -> None:
        """Closes after sending, and lingers if the client is still sending."""
        self.flush()
        if self.is_closing() or not self._is_sending() or not self._transport.can_write_eof():
            self._transport.close()
            return
        self.is_lingering = True
        self._transport.write_eof()
        if not self._transport.is_reading():  # reading pauses while no one reads a body
            self._transport.resume_reading()
        asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._transport.close)
