"""A client that does what a script of `hostile_shapes` says, and notes how it is answered.

Knows bytes and answers; not what is wrong with a request.
"""

import asyncio
import re
import socket
import struct
from collections import Counter
from collections.abc import Sequence

from hostile_shapes import Script

CLOSED, GONE, HANGS, EXTRA = "closed", "gone", "hangs", "more answers than requests"
"""What stands for an answer: the server closed without one, the client went away itself, neither
an answer nor an end came, or there were more answers than there may be."""

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_LINGER = 0.05  # seconds that a client waits for answers that there must not be
_DRIP = 0.2  # seconds between the bytes of one that never comes to an end


async def every(
    port: int, scripts: Sequence[Script], at_once: int, patience: float
) -> Counter[str]:
    """Does what scripts say, so many at once; counts how they ended."""
    free = asyncio.Semaphore(at_once)

    async def one(script: Script) -> str:
        async with free:
            return await play(port, script, patience)

    return Counter(await asyncio.gather(*map(one, scripts)))


async def play(port: int, script: Script, patience: float) -> str:
    """Does what a script says.

    Returns:
        The statuses of the answers, or one of the constants of this module.
    """
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return "not accepted"
    sending = asyncio.ensure_future(_send(writer, script))
    try:
        if script.abort:
            await sending
            linger = struct.pack("ii", 1, 0)  # the end is a reset, not a goodbye
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            return GONE
        return await _read(reader, script.answers, patience)
    finally:
        sending.cancel()
        writer.transport.abort()
        await asyncio.gather(sending, return_exceptions=True)


async def _send(writer: asyncio.StreamWriter, script: Script) -> None:
    try:
        for step in script.steps:
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            else:
                await asyncio.sleep(step)
        if script.half_close:
            writer.write_eof()
        while script.forever:
            await asyncio.sleep(_DRIP)
            writer.write(b"a")
            await writer.drain()
    except OSError:
        return  # the server has closed, which is answer enough


async def _read(reader: asyncio.StreamReader, most: int, patience: float) -> str:
    received, statuses = b"", list[int]()
    while True:
        wait = _LINGER if len(statuses) >= most else patience
        try:
            data = await asyncio.wait_for(reader.read(65_536), wait)
        except TimeoutError:
            return _named(statuses, most, HANGS)
        except OSError:
            return _named(statuses, most, CLOSED)
        if not data:
            return _named(statuses, most, CLOSED)
        received += data
        while (found := _answer(received)) is not None:
            status, received = found
            statuses.append(status)


def _named(statuses: Sequence[int], most: int, otherwise: str) -> str:
    if not statuses:
        return otherwise
    if len(statuses) > most:
        return EXTRA
    return " ".join(map(str, sorted(set(statuses))))


def _answer(received: bytes) -> tuple[int, bytes] | None:
    """The status of the first answer, and what is behind it; None if it is not whole."""
    ends = received.find(b"\r\n\r\n")
    if ends < 0 or not received.startswith(b"HTTP/1."):
        return None
    length = _LENGTH.search(received, 0, ends + 2)
    whole = ends + 4 + (int(length[1]) if length else 0)
    return (int(received[9:12]), received[whole:]) if len(received) >= whole else None
