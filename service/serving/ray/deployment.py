"""The deployment on Ray Serve: its proxy, the options of its replicas, its reported state."""

import logging
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any

from ray import serve

from gatewise.service.ray_cluster import ClusterConnection
from gatewise.service.serving.http.protocol import certificates
from gatewise.service.serving.ray.replica import REFUSED, Replica
from gatewise.service.serving.settings import Settings, variable
from gatewise.vocab.errors import GatewiseError

APPLICATION = "gatewise"
"""The name of the application and of its only deployment."""

ONGOING = 16
"""The requests in flight per replica that autoscaling aims at: enough for some batches."""

_UP_SECONDS, _DOWN_SECONDS = 10.0, 300.0
"""Seconds with more or fewer requests before replicas are started or stopped."""

_MAX_STARTS = 2
"""The attempts to start a replica before the deployment fails."""

_SPARE_SECONDS = 5.0
_PROBE_SECONDS = 5.0
_BROADCAST_SECONDS = 60.0
_QUIET = {"log_level": "WARNING", "enable_access_log": False}

_log = logging.getLogger(__name__)


class ServingError(GatewiseError):
    """The service cannot be deployed, or was removed."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The number of replicas."""

    minimum: int = 1
    maximum: int = 1  # if more than the minimum, Ray scales by the requests

    def __str__(self) -> str:
        if self.maximum > self.minimum:
            return f"{self.minimum} to {self.maximum} replicas"
        return f"{self.minimum} replica{'s' if self.minimum > 1 else ''}"


@dataclass(frozen=True, slots=True)
class DeploymentState:
    """The state of the application."""

    running: int
    expected: int
    failure: str | None


def start_proxy(settings: Settings, cluster: ClusterConnection) -> str:
    """Starts Ray Serve's proxy, unless it runs; returns its address."""
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    schemes = ("https",) if settings.tls_certificate else ("http", "https")
    where = f"{settings.host}:{settings.port}"
    if cluster.is_ours or not serve.status().proxies:
        options: dict[str, Any] = {
            "host": settings.host,
            "port": settings.port,
            "keep_alive_timeout_s": settings.keep_alive_seconds,
        }
        if settings.tls_certificate:
            certificates.context(settings.tls_certificate, settings.tls_key)
            options["ssl_certfile"] = str(settings.tls_certificate)
            options["ssl_keyfile"] = str(settings.tls_key or settings.tls_certificate)
        serve.start(http_options=options, logging_config=_QUIET)
        return f"{schemes[0]}://{where}"
    # Ray reports that Serve runs, but not its address.
    for scheme in schemes:
        if _answers(scheme, settings.host, settings.port):
            return f"{scheme}://{where}"
    if settings.tls_certificate:
        raise ServingError(
            f"Ray Serve runs on this cluster already, and not at https://{where}: expected TLS "
            f"there, by {variable('tls_certificate')}, which must be set when Ray Serve is started"
        )
    _log.warning(
        "Ray Serve runs on this cluster already, and not at %s: host and port have no effect",
        where,
    )
    return "the address of Ray Serve"


def _answers(scheme: str, host: str, port: int) -> bool:
    """Whether a proxy of Ray Serve answers at an address."""
    connection = HTTPConnection(host, port, timeout=_PROBE_SECONDS)
    if scheme == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # verifying it is up to the clients
        context.verify_mode = ssl.CERT_NONE
        connection = HTTPSConnection(host, port, timeout=_PROBE_SECONDS, context=context)
    try:
        connection.request("GET", "/-/healthz")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def check_not_deployed() -> None:
    """Checks that the cluster has no application of this name."""
    if APPLICATION in serve.status().applications:
        raise ServingError(
            f"the cluster serves an application {APPLICATION!r} already: stop its gatewise serve, "
            f"or remove it with: serve delete {APPLICATION}"
        )


def application(settings: Settings, scale: Scale) -> Any:
    """Returns the application: one deployment, which takes every path."""
    number: dict[str, Any] = {"num_replicas": scale.minimum}
    if scale.maximum > scale.minimum:
        number = {
            "autoscaling_config": {
                "min_replicas": scale.minimum,
                "max_replicas": scale.maximum,
                "target_ongoing_requests": ONGOING,
                "upscale_delay_s": _UP_SECONDS,
                "downscale_delay_s": _DOWN_SECONDS,
            }
        }
    deployment = serve.deployment(serve.ingress()(Replica)).options(
        name=APPLICATION,
        ray_actor_options={"num_cpus": 1},
        # The replica refuses requests above its limit itself, with a problem document.
        max_ongoing_requests=2 * settings.max_requests,
        max_queued_requests=settings.max_requests,
        max_constructor_retry_count=_MAX_STARTS,
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=settings.shutdown_seconds + _SPARE_SECONDS,
        logging_config=_QUIET,
        **number,
    )
    return serve.RunTarget(deployment.bind(settings), name=APPLICATION, route_prefix="/")


def state(cluster: ClusterConnection) -> DeploymentState:
    """Returns the state of the application."""
    found = serve.status().applications.get(APPLICATION)
    if found is None:
        raise ServingError(f"the application {APPLICATION!r} was removed from the cluster")
    running = expected = 0
    for deployment in found.deployments.values():
        for name, count in deployment.replica_states.items():
            running += count if name == "RUNNING" else 0
            expected += count if name != "STOPPING" else 0
    failure = None
    if found.status == "DEPLOY_FAILED":
        messages = [deployment.message for deployment in found.deployments.values()]
        failure = _reason("\n".join([found.message, *messages]), cluster)
    return DeploymentState(running, expected, failure)


def _reason(message: str, cluster: ClusterConnection) -> str:
    """Returns the reason why replicas do not start, from the messages of Ray."""
    _, refused, rest = message.rpartition(REFUSED)
    if not refused:
        last = (message.strip().splitlines() or ["no reason given"])[-1]
        return f"Ray cannot start the service: {last}"
    node, _, reason = rest.splitlines()[0].partition(": ")
    if cluster.is_ours:
        return reason
    return f"on the node {node}: {reason} (expected on every node, under the same path)"


def broadcast(method: str) -> None:
    """Calls a method of every replica; failures are logged."""
    handle = serve.get_app_handle(APPLICATION)
    try:
        answers = handle.broadcast(method).results(
            timeout_s=_BROADCAST_SECONDS, return_exceptions=True
        )
    except TimeoutError:
        _log.error("%s: not all replicas have answered within %g s", method, _BROADCAST_SECONDS)
        return
    for answer in answers:
        if isinstance(answer, Exception):
            _log.error("%s: a replica does not answer: %s", method, answer)
