"""A client that sends what a script says, and reports how it was answered."""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Sequence

from benchmarks.hostile.requests import Script
from benchmarks.lib.http_client import complete_answer

CLOSED, DISCONNECTED, HANGS = "closed", "disconnected", "hangs"
EXTRA = "more answers than requests"
"""In place of statuses: the server closed without an answer, the client itself disconnected,
neither an answer nor an end came, or there were more answers than there may be."""

_LINGER = 0.05  # seconds that a client waits for answers that there must not be
_DRIP = 0.2  # seconds between the bytes of a request without an end


async def play_all(
    port: int, scripts: Sequence[Script], clients: int, patience: float
) -> Counter[str]:
    """Plays scripts, so many at a time; counts how they ended."""
    free = asyncio.Semaphore(clients)

    async def one(script: Script) -> str:
        async with free:
            return await play(port, script, patience)

    return Counter(await asyncio.gather(*map(one, scripts)))


async def play(port: int, script: Script, patience: float) -> str:
    """Plays a script: the statuses of its answers, or one of the constants of this module.

    Without an answer or an end for `patience` seconds, the service hangs.
    """
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return "not accepted"
    sending = asyncio.ensure_future(_send(writer, script))
    try:
        if script.abort:
            await sending
            linger = struct.pack("ii", 1, 0)  # the end is a reset
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            return DISCONNECTED
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
        return  # the server has closed, which is an answer


async def _read(reader: asyncio.StreamReader, allowed: int, patience: float) -> str:
    received, statuses, ended = b"", list[int](), CLOSED
    while True:
        wait = _LINGER if len(statuses) >= allowed else patience
        try:
            data = await asyncio.wait_for(reader.read(65_536), wait)
        except TimeoutError:
            ended = HANGS
            break
        except OSError:
            break
        if not data:
            break
        received += data
        while (found := complete_answer(received)) is not None:
            status, _, _, received = found
            statuses.append(status)
    if len(statuses) > allowed:
        return EXTRA
    return " ".join(map(str, sorted(set(statuses)))) or ended
