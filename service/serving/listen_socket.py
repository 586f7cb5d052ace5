"""The socket that a service listens on."""

import os
import socket

from gatewise.vocab.errors import GatewiseError

_BACKLOG = 2048
"""Connections that wait to be accepted before the kernel refuses more."""

_ACCEPTED_A_TURN = 16
"""Connections that a turn of the event loop accepts; each new one costs as many system calls."""


class ListenError(GatewiseError):
    """The service cannot listen on a host and port."""


def listen(host: str, port: int) -> socket.socket:
    """Opens the listening socket."""
    try:
        return _open(host, port)
    except (socket.gaierror, UnicodeError):  # UnicodeError: not even the form of a host name
        reason = "no such host"
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
    raise ListenError(
        f"cannot listen on {host}:{port}: {reason}; choose another host or port", option="port"
    )


def _open(host: str, port: int) -> socket.socket:
    # socket.create_server leaves the protocol at 0, and asyncio disables Nagle's algorithm only for
    # the protocol TCP. With the algorithm an answer waits some 40 ms.
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # on Windows it would let two processes bind the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def handles(listener: socket.socket) -> list[socket.socket]:
    """Returns the socket and duplicates of it, for an event loop to accept from.

    uvloop accepts one connection a turn from each. A turn takes a tenth of a second under overload,
    in which a new connection, such as that of a health check, would wait for minutes.
    """
    if os.name != "posix":  # there is no uvloop
        return [listener]
    # `socket.dup` would make it block, in all processes that share it: an event loop that accepts
    # what another process has just accepted would then stand still until the next connection.
    duplicates = (os.dup(listener.fileno()) for _ in range(_ACCEPTED_A_TURN - 1))
    return [listener, *(socket.socket(fileno=number) for number in duplicates)]


def url(listener: socket.socket, *, tls: bool) -> str:
    """Returns the URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    if ":" in host:
        host = f"[{host}]"
    return f"{'https' if tls else 'http'}://{host}:{port}"
