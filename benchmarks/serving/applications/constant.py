"""A constant answer to every request, which is not read: the upper bound of a load generator.

    python constant.py PORT

No server can be measured that comes near to this rate.
"""

import asyncio
import sys

import uvloop

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"


class Constant(asyncio.Protocol):
    """Takes every piece that arrives for a request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the connection."""
        self._transport = transport

    def data_received(self, _: bytes) -> None:
        """Answers."""
        self._transport.write(_ANSWER)  # type: ignore[attr-defined]  # it is one that writes


async def main(port: int) -> None:
    """Answers until it is ended."""
    server = await asyncio.get_running_loop().create_server(Constant, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
