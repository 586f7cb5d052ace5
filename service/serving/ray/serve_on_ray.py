"""The service under Ray Serve: deployed to a cluster, watched, and taken away when told to stop.

Owns the course of the process that does so, and its signals. What Ray is asked for is in
`gatewise.service.serving.ray.deployment`, what a replica does in
`gatewise.service.serving.ray.replica`. Knows no route.
"""

import logging
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from types import FrameType

from gatewise.service import ray_cluster
from gatewise.service.ray_cluster import Cluster
from gatewise.service.serving.http import log_format
from gatewise.service.serving.listen_socket import listen
from gatewise.service.serving.ray import deployment
from gatewise.service.serving.ray.deployment import APPLICATION, Scale, ServingError
from gatewise.service.serving.server import announce
from gatewise.service.serving.settings import Settings, SettingsError, variable
from gatewise.service.threads import available_cpus
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

_TICK = 0.1  # seconds between two looks at what the process was told
_LOOK_SECONDS = 1.0  # between two looks at the replicas
_PATIENCE = 20.0  # seconds after which it is said that replicas are waited for

_log = logging.getLogger(__name__)


def serve_on_ray(settings: Settings, address: str | None, scale: Scale) -> None:
    """Serves models until SIGTERM or SIGINT; requests under way are then answered first.

    Args:
        settings: The settings, which hold for every replica.
        address: The cluster; None starts one on this machine.
        scale: How many replicas.

    Raises:
        ClusterError: If there is no such cluster.
        ServingError: If the service cannot be deployed there, or has gone.
        ModelFolderError: If a model is not where it should be, on a cluster of this machine.
        ListenError: If the port cannot be had, on a cluster of this machine.
        SettingsError: If the settings name no model, or ask for what there is not under Ray.
    """
    log_format.configure(settings)
    settings = _carried(settings)
    if address is None:
        for source in settings.sources():
            source.versions()
        with listen(settings.host, settings.port) as listener:
            port = int(listener.getsockname()[1])
        settings = settings.model_copy(update={"port": port})
    cpus = max(available_cpus(), scale.most)  # a replica that finds none would never start
    # Ray prints what its processes print, and standard output is not for that.
    with (
        redirect_stdout(sys.stderr),
        ray_cluster.connected(
            # Of another's cluster, Ray would tell what everybody prints there.
            address,
            cpus=cpus,
            niceness=0,
            log_to_driver=address is None,
        ) as cluster,
        _signals() as told,
    ):
        try:
            where = deployment.listening(settings, cluster)
            deployment.refuse_another()
            _serve(settings, cluster, scale, told, where)
        except (RayError, RayServeException, ValueError) as error:
            raise ServingError(f"Ray cannot serve the models: {_first_line(error)}") from error


def _serve(settings: Settings, cluster: Cluster, scale: Scale, told: "_Told", where: str) -> None:
    """Deploys the application, and removes it once it shall stop or has failed."""
    if cluster.cpus < scale.least:
        _log.warning(
            "processors of the cluster: %d, and %s take one each: those answer that there is "
            "room for",
            cluster.cpus,
            scale,
        )
    try:
        serve.run_many(
            [deployment.application(settings, scale)], wait_for_applications_running=False
        )
        if running := _wait(told, cluster, scale):
            paths = ", ".join(str(source.path) for source in settings.sources())
            number = f"{running} of {scale}" if running < scale.least else f"{scale}"
            announce(f"{paths} at {where} by {number}")
            _watch(told, cluster)
    finally:
        _stop(settings)


def _carried(settings: Settings) -> Settings:
    """The settings as they hold for a replica.

    Raises:
        SettingsError: If they ask for what there is not under Ray.
    """
    if settings.workers > 1:
        raise SettingsError(
            f"{variable('workers')} is {settings.workers}: expected 1 under Ray, where --replicas "
            "says how many processes there are"
        )
    paths = {
        name: path.absolute()
        for name in ("tls_certificate", "tls_key", "api_keys_file")
        if (path := getattr(settings, name)) is not None
    }
    models = tuple(f"{source.name}={source.path.absolute()}" for source in settings.sources())
    # A replica is given one processor.
    return settings.model_copy(
        update={**paths, "model": models, "sessions": settings.sessions or 1}
    )


def _wait(told: "_Told", cluster: Cluster, scale: Scale) -> int:
    """Waits until replicas answer; tells how many, and 0 if the wait was ended.

    Raises:
        ServingError: If they cannot.
    """
    since = time.monotonic()
    said = False
    while not told.stop:
        state = deployment.state(cluster)
        if state.failure:
            raise ServingError(state.failure)
        is_patient = time.monotonic() - since < _PATIENCE
        if state.running >= scale.least or (state.running and not is_patient):
            return state.running
        if not is_patient and not said:
            said = True
            _log.warning("no replica runs yet: the cluster has no processor free, or is slow")
        time.sleep(_TICK)
    return 0


def _watch(told: "_Told", cluster: Cluster) -> None:
    """Says what changes, until it is told to stop.

    Raises:
        ServingError: If the application was removed.
    """
    before = deployment.state(cluster)
    looked = time.monotonic()
    while not told.stop:
        time.sleep(_TICK)
        if told.reload:
            told.reload = False
            deployment.tell_all("reload")
        if time.monotonic() - looked < _LOOK_SECONDS:
            continue
        looked = time.monotonic()
        now = deployment.state(cluster)
        if (now.running, now.awaited) != (before.running, before.awaited):
            level = logging.WARNING if now.running < before.running else logging.INFO
            _log.log(level, "%d of %d replicas answer", now.running, now.awaited)
        before = now


def _stop(settings: Settings) -> None:
    """Removes the application, and nothing else; requests under way are answered first."""
    try:
        if APPLICATION not in serve.status().applications:
            return
        if settings.drain_seconds:
            deployment.tell_all("drain")
            time.sleep(settings.drain_seconds)
        serve.delete(APPLICATION)
    except (RayError, RayServeException, TimeoutError) as error:
        _log.error("the application %r is not removed: %s", APPLICATION, _first_line(error))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class _Told:
    """What the process was told by signals.

    Attributes:
        stop: Whether it shall stop.
        reload: Whether it shall look for new versions of the models.
    """

    def __init__(self) -> None:
        self.stop = self.reload = False


@contextmanager
def _signals() -> Iterator[_Told]:
    """Takes the signals; only once Ray is there, which takes them for itself."""
    told = _Told()

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        told.stop = True

    def reload(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        told.reload = True

    taken = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: reload}
    previous = {number: signal.signal(number, act) for number, act in taken.items()}
    try:
        yield told
    finally:
        for number, former in previous.items():
            signal.signal(number, former)
