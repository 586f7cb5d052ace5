"""What Ray Serve is asked for: where its proxy listens, and how the replicas are kept.

Knows what Ray says of the application, and tells it in Gatewise's words. Knows neither signals nor
when the service ends.
"""

import logging
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any

from gatewise.service.ray_cluster import Cluster
from gatewise.service.serving.http.protocol import certificates
from gatewise.service.serving.ray.replica import REFUSED, Replica
from gatewise.service.serving.settings import Settings, variable
from gatewise.vocab.errors import GatewiseError
from ray import serve

APPLICATION = "gatewise"
"""What Ray calls the application, and the one deployment in it."""

ONGOING = 16
"""Requests under way in each replica that autoscaling aims at: some batches' worth."""

_UP_SECONDS, _DOWN_SECONDS = 10.0, 300.0
"""For how long there must be more or fewer requests before replicas are started or stopped."""

_TRIES = 2
"""How often a replica is tried that does not start before the service is given up."""

_SPARE_SECONDS = 5.0
_PROBE_SECONDS = 5.0
_TELL_SECONDS = 60.0
_QUIET = {"log_level": "WARNING", "enable_access_log": False}

_log = logging.getLogger(__name__)


class ServingError(GatewiseError):
    """A service that cannot be deployed, or that has gone."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How many replicas there are.

    Attributes:
        least: At least so many.
        most: At most so many; where it is more, Ray chooses by the requests under way.
    """

    least: int = 1
    most: int = 1

    def __str__(self) -> str:
        if self.most > self.least:
            return f"{self.least} to {self.most} replicas"
        return f"{self.least} replica{'s' if self.least > 1 else ''}"


@dataclass(frozen=True, slots=True)
class State:
    """What has become of the application.

    Attributes:
        running: Replicas that answer.
        awaited: Those with the ones that are being started.
        failure: Why there are none and never will be.
    """

    running: int
    awaited: int
    failure: str | None


def listening(settings: Settings, cluster: Cluster) -> str:
    """Has Ray Serve listen, unless it does already; returns where.

    Raises:
        ServingError: If it listens without TLS, and TLS was asked for.
    """
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
    # Ray says that Serve runs, but not where.
    for scheme in schemes:
        if _answers(scheme, settings.host, settings.port):
            return f"{scheme}://{where}"
    if settings.tls_certificate:
        raise ServingError(
            f"Ray Serve runs on this cluster already, and not at https://{where}: expected TLS "
            f"there, by {variable('tls_certificate')}, which must be set when Ray Serve is started"
        )
    _log.warning(
        "Ray Serve runs on this cluster already, and not at %s: --host and --port change nothing",
        where,
    )
    return "the address of Ray Serve"


def _answers(scheme: str, host: str, port: int) -> bool:
    """Whether a proxy of Ray Serve listens there."""
    connection = HTTPConnection(host, port, timeout=_PROBE_SECONDS)
    if scheme == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # whose the certificate is, its clients will see
        context.verify_mode = ssl.CERT_NONE
        connection = HTTPSConnection(host, port, timeout=_PROBE_SECONDS, context=context)
    try:
        connection.request("GET", "/-/healthz")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def refuse_another() -> None:
    """Keeps what others have deployed.

    Raises:
        ServingError: If the cluster serves an application of our name.
    """
    if APPLICATION in serve.status().applications:
        raise ServingError(
            f"the cluster serves an application {APPLICATION!r} already: stop its gatewise serve, "
            f"or remove it with: serve delete {APPLICATION}"
        )


def application(settings: Settings, scale: Scale) -> Any:
    """What is deployed: one deployment, which takes every path."""
    number: dict[str, Any] = {"num_replicas": scale.least}
    if scale.most > scale.least:
        number = {
            "autoscaling_config": {
                "min_replicas": scale.least,
                "max_replicas": scale.most,
                "target_ongoing_requests": ONGOING,
                "upscale_delay_s": _UP_SECONDS,
                "downscale_delay_s": _DOWN_SECONDS,
            }
        }
    deployment = serve.deployment(serve.ingress()(Replica)).options(
        name=APPLICATION,
        ray_actor_options={"num_cpus": 1},
        # The replica refuses what is too much, with a problem document, before Ray lets it wait.
        max_ongoing_requests=2 * settings.max_requests,
        max_queued_requests=settings.max_requests,
        max_constructor_retry_count=_TRIES,
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=settings.shutdown_seconds + _SPARE_SECONDS,
        logging_config=_QUIET,
        **number,
    )
    return serve.RunTarget(deployment.bind(settings), name=APPLICATION, route_prefix="/")


def state(cluster: Cluster) -> State:
    """What has become of the application.

    Raises:
        ServingError: If it is not there.
    """
    found = serve.status().applications.get(APPLICATION)
    if found is None:
        raise ServingError(f"the application {APPLICATION!r} was removed from the cluster")
    running = awaited = 0
    for deployment in found.deployments.values():
        for name, count in deployment.replica_states.items():
            running += count if name == "RUNNING" else 0
            awaited += count if name != "STOPPING" else 0
    failure = None
    if found.status == "DEPLOY_FAILED":
        told = [one.message for one in found.deployments.values()]
        failure = _reason("\n".join([found.message, *told]), cluster)
    return State(running, awaited, failure)


def _reason(message: str, cluster: Cluster) -> str:
    """The reason in what Ray says of replicas that do not start."""
    _, refused, told = message.rpartition(REFUSED)
    if not refused:
        last = (message.strip().splitlines() or ["it does not say why"])[-1]
        return f"Ray cannot start the service: {last}"
    node, _, reason = told.splitlines()[0].partition(": ")
    if cluster.is_ours:
        return reason
    return f"on the node {node}: {reason} (expected on every node, under the same path)"


def tell_all(method: str) -> None:
    """Calls a method of every replica; what becomes of it is in their logs."""
    handle = serve.get_app_handle(APPLICATION)
    try:
        answers = handle.broadcast(method).results(timeout_s=_TELL_SECONDS, return_exceptions=True)
    except TimeoutError:
        _log.error("%s: not all replicas have answered within %g s", method, _TELL_SECONDS)
        return
    for answer in answers:
        if isinstance(answer, Exception):
            _log.error("%s: a replica does not answer: %s", method, answer)
