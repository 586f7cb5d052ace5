"""What a client may take of a process: connections, header bytes, time."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on connections.

    Attributes:
        connections: Connections at a time.
        header_bytes: Bytes of a request's line and headers.
        read_seconds: Seconds to send a request, or to take an answer.
    """

    connections: int = 4096
    header_bytes: int = 32 * 1024
    read_seconds: float = 30.0
