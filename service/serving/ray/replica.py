"""A replica under Ray Serve: the application, with changes and metrics shared by all replicas.

A change of the models that one replica gets by HTTP is applied in all, also in those that start
later. `/metrics` has the metrics of all.
"""

import asyncio
import gc
import logging
import sys
from typing import Any

import ray.util
from ray import serve
from ray.serve.exceptions import RayServeException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gatewise.service.model.errors import ModelFolderError
from gatewise.service.serving.app import Application
from gatewise.service.serving.http import log_format, metrics
from gatewise.service.serving.http.app_context import ServerProcess
from gatewise.service.serving.model_registry import Change, Changes, ModelRegistry, NotReadyError
from gatewise.service.serving.server import load
from gatewise.service.serving.settings import Settings
from gatewise.service.serving.supervisor import still_needed
from gatewise.service.threads import SWITCH_SECONDS
from gatewise.vocab.errors import GatewiseError

REFUSED = "gatewise cannot serve: "
"""Precedes the node and the reason in the message of a replica that cannot start there."""

_log = logging.getLogger(__name__)

_CHANGE_SECONDS = 60.0
"""Seconds for the other replicas to apply a change: loading a large model takes some."""

_METRICS_SECONDS = 5.0
_CATCH_UP_SECONDS = 5.0

_CATCH_UPS = 2
"""How often a replica asks for the changes so far: before it serves, and once more soon after, for
changes in between, when the others did not know it yet."""


class ReplicaError(Exception):
    """The replica cannot start; Ray reports it to the process that deploys."""


class Replica(ServerProcess):
    """The application in a process of Ray."""

    def __init__(self, settings: Settings) -> None:
        # Ray Serve has replaced sys.stderr, and mixes it with its own lines.
        log_format.configure(settings, sys.__stderr__)
        try:
            self._app: Application = load(settings, self)
        except GatewiseError as error:
            node = ray.util.get_node_ip_address()
            raise ReplicaError(f"{REFUSED}{node}: {error}") from None
        context = self._app.context
        self._models = context.models
        self._changes: list[Change] = []
        self._catch_ups = 0
        self._draining = False
        sys.setswitchinterval(SWITCH_SECONDS)
        gc.collect()
        gc.freeze()

    def __serve_build_asgi_app__(self) -> ASGIApp:  # Ray's name for it
        """Returns the application; Ray Serve calls it once this object is made."""
        # Ray's proxy sets the id of each request before us, and of its answer after us.
        return without_request_id(self._app)

    async def check_health(self) -> None:
        """Checks the models, or raises; Ray calls it before the replica serves, then regularly."""
        if self._catch_ups < _CATCH_UPS:
            self._catch_ups += 1
            await self._catch_up()
        for name in self._models.names():
            for served in tuple(self._models.model(name).served.values()):
                await asyncio.to_thread(served.check)
            self._models.find(name)

    async def follow(self, change: Change, origin: str) -> str | None:
        """Applies a change that the replica `origin` applied first; returns why it fails here."""
        if origin == self._name():
            return None
        try:
            changes = await self._models.change(change)
        except GatewiseError as error:
            _log.error("%s of %s: %s", change.action, change.model, error)
            return str(error)
        self._changes = still_needed(self._changes, change)
        return None if changes.loaded else next(iter(changes.failed.values()), None)

    async def changes(self) -> list[Change]:
        """Returns the changes that a replica which starts now must apply."""
        return self._changes

    async def own_metrics(self) -> tuple[str, bytes]:
        """Returns the name of this replica, and its metrics in Prometheus's text format."""
        return self._name(), self._app.context.own_metrics()

    async def reload(self) -> None:
        """Loads new versions of every model."""
        await self._app.reload()

    async def drain(self) -> None:
        """Ends the readiness of this replica, which still answers."""
        self._draining = True

    def is_draining(self) -> bool:
        """Whether this replica stops soon."""
        return self._draining

    async def change(self, models: ModelRegistry, change: Change) -> Changes:
        """Changes the versions of a model here, and then in the other replicas."""
        changes = await models.change(change)
        self._changes = still_needed(self._changes, change)
        answers = await self._broadcast(_CHANGE_SECONDS, "follow", change, self._name())
        if reasons := [answer for answer in answers if isinstance(answer, str)]:
            raise ModelFolderError(
                f"{len(reasons)} of {len(answers)} replicas cannot, the others have: {reasons[0]}"
            )
        return changes

    async def metrics(self, own: bytes) -> bytes:  # noqa: ARG002 # all includes this replica
        """Returns the metrics of every replica."""
        try:
            answers = await self._broadcast(_METRICS_SECONDS, "own_metrics")
        except ModelFolderError as error:
            raise NotReadyError(str(error)) from None
        return metrics.merge(dict(answer for answer in answers if isinstance(answer, tuple)))

    async def _catch_up(self) -> None:
        """Applies the changes that the others applied before this replica started."""
        if not await asyncio.to_thread(_others_run):
            return  # a call would wait for one
        try:
            answers = await self._broadcast(_CATCH_UP_SECONDS, "changes")
        except (ModelFolderError, RayServeException):  # they have just stopped
            return
        lists = (answer for answer in answers if isinstance(answer, list))
        missed: list[Change] = max(lists, key=len, default=[])
        for change in missed:
            if change not in self._changes:
                await self.follow(change, "")

    async def _broadcast(self, seconds: float, method: str, *arguments: Any) -> list[Any]:
        """Calls a method of every replica, this one included; returns results or exceptions."""
        context = serve.get_replica_context()
        handle = serve.get_deployment_handle(context.deployment, context.app_name)
        try:
            answers: list[Any] = await handle.broadcast(method, *arguments).results_async(
                timeout_s=seconds, return_exceptions=True
            )
        except TimeoutError:
            raise ModelFolderError(f"not all replicas have answered within {seconds:g} s") from None
        for answer in answers:
            if isinstance(answer, Exception):  # Ray is replacing it
                _log.error("a replica does not answer: %s", answer)
        return answers

    def _name(self) -> str:
        name: str = serve.get_replica_context().replica_tag
        return name


def without_request_id(app: ASGIApp) -> ASGIApp:
    """Removes the request id from the answers of an application, for a server that adds its own."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_without(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [header for header in message["headers"] if header[0] != b"x-request-id"]
                message = {**message, "headers": headers}
            await send(message)

        await app(scope, receive, send_without)

    return answer


def _others_run() -> bool:
    """Whether any replica answers."""
    context = serve.get_replica_context()
    application = serve.status().applications.get(context.app_name)
    deployments = application.deployments if application else {}
    return context.deployment in deployments and any(
        state == "RUNNING" and count
        for state, count in deployments[context.deployment].replica_states.items()
    )
