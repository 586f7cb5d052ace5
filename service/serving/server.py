"""The server process: loads the models, binds the port, and serves by uvicorn until a signal."""

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

from gatewise.service.serving.app import Application, repeat
from gatewise.service.serving.http import log_format, metrics
from gatewise.service.serving.http.app_context import AppContext, ServerProcess
from gatewise.service.serving.http.protocol import certificates
from gatewise.service.serving.http.protocol.connections import limited, sweep
from gatewise.service.serving.listen_socket import handles, listen, url
from gatewise.service.serving.model_registry import Change, Changes, ModelRegistry
from gatewise.service.serving.settings import Settings
from gatewise.service.serving.supervisor import Supervisor, signal_handlers
from gatewise.service.threads import SWITCH_SECONDS
from gatewise.vocab.errors import GatewiseError

_log = logging.getLogger(__name__)

_MESSAGE_SIZES = 4
"""The factor by which a stream's message may exceed its limit and still get a problem document."""

_SPARE_SECONDS = 5
"""Seconds beyond the drain and the shutdown after which a worker is killed."""


def serve(settings: Settings) -> None:
    """Serves models until SIGTERM or SIGINT, and then answers the requests in flight.

    Raises:
        ModelFolderError: If a model is missing, damaged or foreign.
        ListenError: If the port cannot be bound.
        SettingsError: If the settings name no model.
    """
    log_format.configure(settings)
    tls = settings.tls_certificate is not None
    if settings.tls_certificate:  # checked before the models are loaded, once for all processes
        certificates.context(settings.tls_certificate, settings.tls_key)
    models = ", ".join(f"{source.name}={source.path}" for source in settings.sources())
    if settings.workers > 1:
        with (
            listen(settings.host, settings.port) as listener,
            metrics.shared_by_processes() as forget,
        ):
            ready = partial(announce, f"{models} at {url(listener, tls=tls)}")
            stop_seconds = settings.drain_seconds + settings.shutdown_seconds + _SPARE_SECONDS
            work = partial(_work, settings)
            gc.enable()
            Supervisor(work, listener, settings.workers, stop_seconds, forget).run(ready)
            _log.info("stopped all workers")
        return
    process = UvicornProcess()
    app = load(settings, process)
    with listen(settings.host, settings.port) as listener:
        run(app, process, listener, partial(announce, f"{models} at {url(listener, tls=tls)}"))


def _work(settings: Settings, listener: socket.socket, pipe: Connection) -> None:
    """Serves as one of several workers."""
    log_format.configure(settings)
    process = UvicornProcess(pipe)
    try:
        app = load(settings, process)
    except GatewiseError as error:
        _log.error("%s", error)
        sys.exit(1)
    run(app, process, listener, partial(pipe.send, "ready"))


def announce(what: str) -> None:
    """Logs that the service is ready, and how long the start took."""
    _log.info("serving %s, ready after %.2f s", what, _seconds_since_process_start())


def load(settings: Settings, process: ServerProcess) -> Application:
    """Builds the application and loads its models, before any port is bound.

    A client that can connect finds a model that answers.
    """
    # The event loop needs the other CPUs; one tokenizes a few texts as quickly.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    context = AppContext.create(settings, settings.sources(), process=process)
    for name in context.models.names():
        context.models.load(name)
    return Application(context)


class UvicornProcess(ServerProcess):
    """A process that serves by uvicorn, alone or as one of several workers."""

    def __init__(self, pipe: Connection | None = None) -> None:
        self.pipe = pipe
        self.open_connections: set[Any] = set()
        self.draining = False
        # One change at a time: a share may name a version that an earlier change loads.
        self._changing = asyncio.Lock()

    def connections(self) -> int:
        """How many connections are open."""
        return len(self.open_connections)

    def is_draining(self) -> bool:
        """Whether it ends once the requests in flight are answered."""
        return self.draining

    async def change(self, models: ModelRegistry, change: Change) -> Changes:
        """Applies a change, and has the other workers follow it."""
        async with self._changing:
            changes = await models.change(change)
            if self.pipe:
                self.pipe.send(change)
        return changes

    async def follow(self, models: ModelRegistry, change: Change) -> None:
        """Applies a change that another worker applied first."""
        try:
            async with self._changing:
                await models.change(change, followed=True)
        except GatewiseError as error:
            _log.error("%s of %s: %s", change.action, change.model, error)


def run(
    app: Application,
    process: UvicornProcess,
    listener: socket.socket,
    ready: Callable[[], None],
) -> None:
    """Serves an application on a socket until the process is asked to stop.

    `ready` is called once it takes requests.
    """
    settings = app.context.settings
    config = uvicorn.Config(
        app,
        http=limited(settings),
        ws="websockets-sansio",
        # Larger than the limit, so that most messages above it still get a problem document.
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
    sys.setswitchinterval(SWITCH_SECONDS)
    # What exists now stays: without this, each full garbage collection takes some 40 ms. Little of
    # it is garbage, so that is not looked for first, which would take as long.
    gc.freeze()
    gc.enable()
    _Server(config, app, process, ready).run(sockets=handles(listener))


class _Server(uvicorn.Server):
    """uvicorn's server, with draining, reloading on SIGHUP, and exit code 0 after a signal."""

    def __init__(
        self,
        config: uvicorn.Config,
        app: Application,
        process: UvicornProcess,
        ready: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._app = app
        self._process = process
        self._ready = ready
        self._tasks: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._process.open_connections = self.server_state.connections
        self._keep(repeat(partial(sweep, self.server_state.connections), "closing slow clients"))
        self._loop = asyncio.get_running_loop()
        if self._process.pipe:
            self._loop.add_reader(self._process.pipe.fileno(), self._receive, self._process.pipe)
        self._ready()

    def _receive(self, pipe: Connection) -> None:
        """Applies a change of another worker; stops if the supervisor has ended."""
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
        seconds = self._app.context.settings.shutdown_seconds
        _log.info("stopping: %d requests in flight have %d s", self._app.in_flight, seconds)
        await super().shutdown(sockets)
        _log.info("stopped")

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn raises the signal again after the shutdown, so that it ends the process; here the
        # process exits with 0. Only the main thread may set signal handlers.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers = {signal.SIGINT: self._stop, signal.SIGTERM: self._stop}
        if hasattr(signal, "SIGHUP"):
            handlers[signal.SIGHUP] = self._reload
        with signal_handlers(handlers):
            yield

    def _stop(self, number: int, frame: FrameType | None) -> None:
        drain_seconds = self._app.context.settings.drain_seconds
        if self._process.draining or not drain_seconds:
            self.handle_exit(number, frame)
            return
        self._process.draining = True
        self._loop.call_soon_threadsafe(self._drain, drain_seconds, number)

    def _drain(self, seconds: float, number: int) -> None:
        """Stops after a while, in which load balancers notice that it is not ready."""
        _log.info("draining: not ready, stops in %g s", seconds)
        self._loop.call_later(seconds, self.handle_exit, number, None)

    def _reload(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._loop.call_soon_threadsafe(lambda: self._keep(self._reload_all()))

    async def _reload_all(self) -> None:
        settings = self._app.context.settings
        if self.config.ssl and settings.tls_certificate:
            certificates.reload(self.config.ssl, settings.tls_certificate, settings.tls_key)
        await self._app.reload()

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs a task that nothing awaits."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _seconds_since_process_start() -> float:
    """Returns the age of this process, including the interpreter's start and the imports.

    Without `/proc` it is the CPU time, which is close: a starting process waits for little.
    """
    try:
        # Field 22 of proc_pid_stat(5), counted from behind the name, which may have blanks.
        stat = Path("/proc/self/stat").read_text(errors="replace").rpartition(")")[2].split()
        started = int(stat[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started
    except (OSError, AttributeError, IndexError, ValueError):
        return time.process_time()
