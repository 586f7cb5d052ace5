"""The process that serves: model first, then port, then requests until it is told to stop.

Owns the socket, the signals, the logging and the line that says where the service is. Knows no
route.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from gatewise.service.serving.app import Application
from gatewise.service.serving.http import log_format, metrics
from gatewise.service.serving.http.app_context import AppContext, ServerProcess
from gatewise.service.serving.http.protocol import certificates
from gatewise.service.serving.http.protocol.connections import bounded, sweeping
from gatewise.service.serving.http.protocol.limits import Limits
from gatewise.service.serving.listen_socket import listen, url
from gatewise.service.serving.model_registry import Changes, ModelRegistry
from gatewise.service.serving.model_versions import Change
from gatewise.service.serving.settings import Settings
from gatewise.service.serving.supervisor import Supervisor
from gatewise.service.threads import SWITCH_SECONDS
from gatewise.vocab.errors import GatewiseError

_log = logging.getLogger(__name__)

_MESSAGE_SIZES = 4
"""How many times too large a message of a stream may be and still be told why it is refused."""

_SPARE_SECONDS = 5
"""Seconds beyond what its requests are given after which a process that stops is killed."""


def serve(settings: Settings) -> None:
    """Serves models until SIGTERM or SIGINT; requests under way are then answered first.

    Raises:
        ModelFolderError: If a model is missing, damaged or foreign.
        ListenError: If the port cannot be had.
        SettingsError: If the settings name no model.
    """
    log_format.configure(settings)
    tls = settings.tls_certificate is not None
    if settings.tls_certificate:  # told before the models are loaded, and once for all processes
        certificates.context(settings.tls_certificate, settings.tls_key)
    paths = ", ".join(str(source.path) for source in settings.sources())
    if settings.workers > 1:
        with (
            listen(settings.host, settings.port) as listener,
            metrics.shared_by_processes() as forget,
        ):
            told = partial(announce, f"{paths} at {url(listener, tls=tls)}")
            stop_seconds = settings.drain_seconds + settings.shutdown_seconds + _SPARE_SECONDS
            work = partial(_work, settings)
            Supervisor(work, listener, settings.workers, stop_seconds, forget).run(told)
        return
    process = _Process()
    app = loaded(settings, process)
    with listen(settings.host, settings.port) as listener:
        run(
            app,
            process,
            listener,
            partial(announce, f"{paths} at {url(listener, tls=tls)}"),
        )


def _work(settings: Settings, listener: socket.socket, pipe: Connection) -> None:
    """Serves as one of several processes."""
    log_format.configure(settings)
    process = _Process(pipe)
    try:
        app = loaded(settings, process)
    except GatewiseError as error:
        _log.error("%s", error)  # its message is all there is to tell
        sys.exit(1)
    run(app, process, listener, partial(pipe.send, "ready"))


def announce(what: str) -> None:
    """Says in the log that something is served, and how long it took."""
    _log.info("serving %s, ready after %.2f s", what, _seconds_since_process_start())


def loaded(settings: Settings, process: ServerProcess) -> Application:
    """Builds the application and loads its models, before any port is bound.

    A client that can connect finds a model that answers.

    Args:
        settings: The settings.
        process: The process that will run the application.

    Raises:
        ModelFolderError: If a model is missing, damaged or foreign.
        SettingsError: If the settings name no model.
    """
    # The event loop has the other processors; a handful of texts is tokenized as quickly by one.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    context = AppContext.create(settings, settings.sources(), process=process)
    for name in context.models.names():
        context.models.load(name)
    return Application(context)


class _Process(ServerProcess):
    """A process that serves by uvicorn, alone or as one of several.

    Args:
        pipe: Leads to the supervisor of the processes, if there are several.

    Attributes:
        connections_open: The open connections, as uvicorn keeps them.
        draining: Whether the process was told to stop, and will.
    """

    def __init__(self, pipe: Connection | None = None) -> None:
        self.pipe = pipe
        self.connections_open: set[Any] = set()
        self.draining = False
        # Changes are made one by one: a share is of versions that an earlier change may load.
        self._changing = asyncio.Lock()

    def connections(self) -> int:
        return len(self.connections_open)

    def is_draining(self) -> bool:
        return self.draining

    async def change(self, models: ModelRegistry, change: Change) -> Changes:
        async with self._changing:
            changes = await models.change(change)
            if self.pipe:
                self.pipe.send(change)
        return changes

    async def follow(self, models: ModelRegistry, change: Change) -> None:
        """Makes a change that another process has made."""
        try:
            async with self._changing:
                await models.change(change, followed=True)
        except GatewiseError as error:
            _log.error("%s of %s: %s", change.action, change.model, error)


def run(
    app: Application,
    process: _Process,
    listener: socket.socket,
    ready: Callable[[], None],
) -> None:
    """Serves an application on a socket until the process is told to stop.

    Args:
        app: The application.
        process: This process.
        listener: The socket.
        ready: Called once requests are taken.
    """
    settings = app.context.settings
    limits = Limits(
        connections=settings.max_connections,
        header_bytes=settings.max_header_bytes,
        read_seconds=settings.read_seconds,
    )
    config = uvicorn.Config(
        app,
        http=bounded(limits),
        ws="websockets-sansio",
        # Larger than they may be, so that most that are too large can still be told why.
        ws_max_size=_MESSAGE_SIZES * settings.max_stream_message_bytes,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
    if settings.tls_certificate:
        config.load()
        config.ssl = certificates.context(settings.tls_certificate, settings.tls_key)
    # A thread that has run a batch waits for the interpreter only as long as a request takes.
    sys.setswitchinterval(SWITCH_SECONDS)
    # What is there now stays: looking through all of it again and again takes some 40 ms each time.
    gc.collect()
    gc.freeze()
    _Server(config, app, process, ready).run(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn's server, which exits with 0 after a signal, and reloads and drains on others.

    Args:
        config: uvicorn's settings.
        app: The application.
        process: This process.
        ready: Called once requests are taken.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        app: Application,
        process: _Process,
        ready: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._app = app
        self._process = process
        self._ready = ready
        self._tasks: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._process.connections_open = self.server_state.connections
        self._keep(sweeping(self.server_state.connections))
        self._loop = asyncio.get_running_loop()
        if self._process.pipe:
            self._loop.add_reader(self._process.pipe.fileno(), self._receive, self._process.pipe)
        self._ready()

    def _receive(self, pipe: Connection) -> None:
        """Follows a change of another process; stops if the supervisor has ended."""
        try:
            change = pipe.recv()
        except (EOFError, OSError):
            self._loop.remove_reader(pipe.fileno())
            self.should_exit = True
            return
        self._keep(self._process.follow(self._app.context.models, change))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal again once it has shut down, so that the process dies of
        # it; here the process returns and exits with 0. Python takes signals in its main thread
        # only.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        taken = {signal.SIGINT: self._stop, signal.SIGTERM: self._stop}
        if hasattr(signal, "SIGHUP"):
            taken[signal.SIGHUP] = self._reload
        previous = {number: signal.signal(number, taken[number]) for number in taken}
        try:
            yield
        finally:
            for number, former in previous.items():
                signal.signal(number, former)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        drain_seconds = self._app.context.settings.drain_seconds
        if self._process.draining or not drain_seconds:
            self.handle_exit(number, frame)
            return
        self._process.draining = True
        self._loop.call_soon_threadsafe(
            self._loop.call_later, drain_seconds, self.handle_exit, number, None
        )

    def _reload(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._loop.call_soon_threadsafe(lambda: self._keep(self._reload_all()))

    async def _reload_all(self) -> None:
        settings = self._app.context.settings
        if self.config.ssl and settings.tls_certificate:
            certificates.reload(self.config.ssl, settings.tls_certificate, settings.tls_key)
        await self._app.reload()

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs beside the server what nobody awaits."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


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
