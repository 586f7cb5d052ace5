"""The socket that a service listens on. Knows nothing of what is served."""

import os
import socket

from gatewise.service.serving.settings import variable
from gatewise.vocab.errors import GatewiseError

_BACKLOG = 2048
"""Connections that wait to be accepted before the kernel refuses more."""


class ListenError(GatewiseError):
    """A host and port that cannot be listened on."""


def listen(host: str, port: int) -> socket.socket:
    """Opens the listening socket.

    Args:
        host: A name or an address, of either family.
        port: The port; 0 takes any free one.

    Raises:
        ListenError: If the host is unknown or the port cannot be had.
    """
    try:
        return _open(host, port)
    except (socket.gaierror, UnicodeError):  # UnicodeError: not even the form of a name
        reason = "no such host"
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
    raise ListenError(
        f"cannot listen on {host}:{port}: {reason}; choose another by {variable('host')} and "
        f"{variable('port')}, or --host and --port"
    )


def _open(host: str, port: int) -> socket.socket:
    # The protocol is named, and not left at 0 as socket.create_server leaves it: only where it is
    # TCP by name does asyncio turn Nagle's algorithm off, with which an answer waits some 40 ms.
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere it would let two processes have the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def url(listener: socket.socket, *, tls: bool) -> str:
    """The address of a listening socket, as a client names it."""
    host, port = listener.getsockname()[:2]
    named = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{named}:{port}"
