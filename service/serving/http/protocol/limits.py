"""The limits of connections: their number, header bytes, time."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of the connections of a process.

    Attributes:
        connections: Maximum connections.
        header_bytes: Maximum bytes of a request's line and headers.
        read_seconds: Maximum seconds for a client to send a request, or to read an answer.
    """

    connections: int = 4096
    header_bytes: int = 32 * 1024
    read_seconds: float = 30.0
