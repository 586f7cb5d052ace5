"""Serving on Ray: deploys the service to a cluster, watches it, and removes it on a signal."""

import logging
import signal
import sys
import time
from contextlib import redirect_stdout
from types import FrameType

from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from gatewise.service import ray_cluster
from gatewise.service.ray_cluster import ClusterConnection
from gatewise.service.serving.http import log_format
from gatewise.service.serving.listen_socket import listen
from gatewise.service.serving.ray import deployment
from gatewise.service.serving.ray.deployment import APPLICATION, Scale, ServingError
from gatewise.service.serving.server import announce
from gatewise.service.serving.settings import Settings, SettingsError, variable
from gatewise.service.serving.supervisor import signal_handlers
from gatewise.service.threads import available_cpus
from gatewise.vocab.errors import first_line

_TICK = 0.1  # seconds between two checks for signals
_STATE_SECONDS = 1.0  # between two checks of the replicas
_PATIENCE = 20.0  # seconds after which a start counts as slow

_log = logging.getLogger(__name__)


def serve_on_ray(settings: Settings, address: str | None, scale: Scale) -> None:
    """Serves models until SIGTERM or SIGINT, and then answers the requests in flight.

    Raises:
        ClusterError: If the cluster cannot be reached or started.
        ServingError: If the service cannot be deployed, or was removed.
        ModelFolderError: If a model is missing, on a cluster of this machine.
        ListenError: If the port cannot be bound, on a cluster of this machine.
        SettingsError: If the settings name no model, or have no meaning on Ray.
    """
    log_format.configure(settings)
    settings = _replica_settings(settings)
    if address is None:
        for source in settings.sources():
            source.versions()
        with listen(settings.host, settings.port) as listener:
            port = int(listener.getsockname()[1])
        settings = settings.model_copy(update={"port": port})
    flags = _Flags()
    cpus = max(available_cpus(), scale.maximum)  # a replica without a CPU never starts
    # Ray prints the output of its processes, which does not belong on standard output.
    with (
        redirect_stdout(sys.stderr),
        ray_cluster.connected(
            address,
            cpus=cpus,
            niceness=0,
            log_to_driver=address is None,  # a shared cluster has the output of others
        ) as cluster,
        # After connecting: Ray sets handlers of its own.
        signal_handlers(
            {
                signal.SIGTERM: flags.set_stop,
                signal.SIGINT: flags.set_stop,
                signal.SIGHUP: flags.set_reload,
            }
        ),
    ):
        try:
            where = deployment.start_proxy(settings, cluster)
            deployment.check_not_deployed()
            _serve(settings, cluster, scale, flags, where)
        except (RayError, RayServeException, ValueError) as error:
            raise ServingError(f"Ray cannot serve the models: {first_line(error)}") from error


def _serve(
    settings: Settings, cluster: ClusterConnection, scale: Scale, flags: "_Flags", where: str
) -> None:
    """Deploys the application, and removes it after a signal or a failure."""
    if cluster.cpus < scale.minimum:
        _log.warning(
            "the cluster has %d CPUs, but %s need one each: some will not start",
            cluster.cpus,
            scale,
        )
    try:
        serve.run_many(
            [deployment.application(settings, scale)], wait_for_applications_running=False
        )
        if running := _wait_for_replicas(flags, cluster, scale):
            models = ", ".join(f"{source.name}={source.path}" for source in settings.sources())
            number = f"{running} of {scale}" if running < scale.minimum else f"{scale}"
            announce(f"{models} at {where} by {number}")
            _watch(flags, cluster)
    finally:
        _stop(settings)


def _replica_settings(settings: Settings) -> Settings:
    """Returns the settings of a replica, with absolute paths."""
    if settings.workers > 1:
        raise SettingsError(
            f"{variable('workers')} is {settings.workers}: expected 1 on Ray, where every replica "
            "is a process"
        )
    paths = {
        name: path.absolute()
        for name in ("tls_certificate", "tls_key", "api_keys_file")
        if (path := getattr(settings, name)) is not None
    }
    models = tuple(f"{source.name}={source.path.absolute()}" for source in settings.sources())
    # A replica has one CPU.
    return settings.model_copy(
        update={**paths, "model": models, "sessions": settings.sessions or 1}
    )


def _wait_for_replicas(flags: "_Flags", cluster: ClusterConnection, scale: Scale) -> int:
    """Waits for the replicas; returns how many answer, or 0 after a signal."""
    since = time.monotonic()
    warned = False
    while not flags.stop:
        state = deployment.state(cluster)
        if state.failure:
            raise ServingError(state.failure)
        is_patient = time.monotonic() - since < _PATIENCE
        if state.running >= scale.minimum or (state.running and not is_patient):
            return state.running
        if not is_patient and not warned:
            warned = True
            _log.warning("no replica runs yet: the cluster has no free CPU, or is slow")
        time.sleep(_TICK)
    return 0


def _watch(flags: "_Flags", cluster: ClusterConnection) -> None:
    """Logs changes of the replicas until a signal to stop."""
    before = deployment.state(cluster)
    checked = time.monotonic()
    while not flags.stop:
        time.sleep(_TICK)
        if flags.reload:
            flags.reload = False
            deployment.broadcast("reload")
        if time.monotonic() - checked < _STATE_SECONDS:
            continue
        checked = time.monotonic()
        now = deployment.state(cluster)
        if (now.running, now.expected) != (before.running, before.expected):
            level = logging.WARNING if now.running < before.running else logging.INFO
            _log.log(level, "%d of %d replicas answer", now.running, now.expected)
        before = now


def _stop(settings: Settings) -> None:
    """Removes the application; the requests in flight are answered first."""
    try:
        if APPLICATION not in serve.status().applications:
            return
        if settings.drain_seconds:
            deployment.broadcast("drain")
            time.sleep(settings.drain_seconds)
        serve.delete(APPLICATION)
    except (RayError, RayServeException, TimeoutError) as error:
        _log.error("the application %r could not be removed: %s", APPLICATION, first_line(error))


class _Flags:
    """The signals that the process got: whether to stop, and whether to load new versions."""

    def __init__(self) -> None:
        self.stop = self.reload = False

    def set_stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Handles SIGTERM and SIGINT."""
        self.stop = True

    def set_reload(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Handles SIGHUP."""
        self.reload = True
