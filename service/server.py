"""The process that serves: model first, then port, then requests until it is told to stop.

Owns the socket, the signals, the logging and the line that says where the service is. Knows no
route.
"""

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from service.app import create_app
from service.classifier import Classifier
from service.settings import Settings, variable
from vocab.errors import GatewiseError

_log = logging.getLogger(__name__)

_BACKLOG = 2048
"""Connections that wait to be accepted before the kernel refuses more."""


class ListenError(GatewiseError):
    """A host and port that cannot be listened on."""


def serve(settings: Settings) -> None:
    """Serves one model until SIGTERM or SIGINT; requests under way are then answered first.

    Raises:
        ModelFolderError: If the model folder is missing, damaged or foreign.
        ListenError: If the port cannot be had.
        SettingsError: If the settings name no model folder.
    """
    _configure_logging(settings)
    folder = settings.model_folder()
    # Before the port is bound: a client that gets through shall find a model behind it.
    classifier = Classifier.load(folder, threads=settings.threads)
    app = create_app(settings, classifier)
    with listen(settings.host, settings.port) as listener:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=settings.access_log,
            server_header=False,
            timeout_graceful_shutdown=settings.shutdown_seconds,
            ws="none",
        )
        _Server(config, f"serving {folder} at {_url(listener)}").run(sockets=[listener])


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


class _Server(uvicorn.Server):
    """uvicorn's server, for which a stop that was asked for is no failure."""

    def __init__(self, config: uvicorn.Config, announcement: str) -> None:
        super().__init__(config)
        self._announcement = announcement

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        _log.info("%s, ready after %.2f s", self._announcement, _seconds_since_process_start())

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal again once it has shut down, so that the process dies of
        # it; here the process returns and exits with 0. Python takes signals in its main thread
        # only.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        taken = (signal.SIGINT, signal.SIGTERM)
        previous = {number: signal.signal(number, self.handle_exit) for number in taken}
        try:
            yield
        finally:
            for number, former in previous.items():
                signal.signal(number, former)


def _configure_logging(settings: Settings) -> None:
    logging.basicConfig(
        level=settings.log_level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    if settings.log_level == "info":
        # Its lines on each step of starting and stopping say nothing that ours does not.
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _seconds_since_process_start() -> float:
    """The age of this process, the interpreter's start and the imports included.

    Where there is no `/proc` it is the processor time used so far, which is close: until it
    listens, the process waits for little else.
    """
    try:
        # Field 22 of proc_pid_stat(5), counted behind the name, which may hold anything.
        stat = Path("/proc/self/stat").read_text(errors="replace").rpartition(")")[2].split()
        started = int(stat[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started
    except (OSError, AttributeError, IndexError, ValueError):
        return time.process_time()
