"""One replica of the service under Ray Serve: the same application, and what it shares with others.

A change of the models that one replica is asked for is made in all, and a replica that starts later
makes it too. Figures are told of all. Knows nothing of how many replicas there are nor of where
they run: Ray does.
"""

import asyncio
import gc
import logging
import sys
from typing import Any

import ray.util
from gatewise.service.model.errors import ModelFolderError
from gatewise.service.serving.app import Application
from gatewise.service.serving.http import log_format, merged_metrics
from gatewise.service.serving.http.app_context import ServerProcess
from gatewise.service.serving.model_registry import Changes, ModelRegistry
from gatewise.service.serving.model_versions import Change, NotReadyError
from gatewise.service.serving.server import loaded
from gatewise.service.serving.settings import Settings
from gatewise.service.serving.supervisor import still_needed
from gatewise.service.threads import SWITCH_SECONDS
from gatewise.vocab.errors import GatewiseError
from ray import serve
from ray.serve.exceptions import RayServeException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REFUSED = "gatewise cannot serve: "
"""Stands before the node and the reason for which no replica starts there, in what Ray tells."""

_log = logging.getLogger(__name__)

_TELL_SECONDS = 60.0
"""Seconds that the others are given to do what one was asked: loading a large model takes some."""

_METRICS_SECONDS = 5.0
_CATCH_UP_SECONDS = 5.0

_CATCH_UPS = 2
"""How often a replica asks what it has missed: before it serves, and once more soon after, for what
was changed between the answer and its being known to the others."""


class ReplicaError(Exception):
    """A replica that cannot start; Ray shows it to whoever has deployed the service."""


class Replica(ServerProcess):
    """The application in a process of Ray's.

    Args:
        settings: The settings, of which nothing is taken from this process's environment.

    Raises:
        ReplicaError: If a model is missing, damaged or foreign on this node.
    """

    def __init__(self, settings: Settings) -> None:
        # What is sys.stderr by now, Ray Serve writes among its own lines.
        log_format.configure(settings, sys.__stderr__)
        try:
            self._app: Application = loaded(settings, self)
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
        """Called by Ray before the replica serves and every few seconds then.

        Raises:
            GatewiseError: If a model cannot answer; Ray then replaces this replica.
        """
        if self._catch_ups < _CATCH_UPS:
            self._catch_ups += 1
            await self._catch_up()
        for name in self._models.names():
            for served in tuple(self._models.model(name).served.values()):
                await asyncio.to_thread(served.check)
            self._models.find(name)

    async def follow(self, change: Change, asked: str) -> str | None:
        """Makes a change that a replica was asked for.

        Args:
            change: The change.
            asked: The replica that was asked, which has made it already.

        Returns:
            Why it could not be made here, if it could not.
        """
        if asked == self._name():
            return None
        try:
            changes = await self._models.change(change)
        except GatewiseError as error:
            _log.error("%s of %s: %s", change.action, change.model, error)
            return str(error)
        self._changes = still_needed(self._changes, change)
        return None if changes.loaded else next(iter(changes.failed.values()), None)

    async def changes(self) -> list[Change]:
        """What a replica that starts now must be told."""
        return self._changes

    async def own_metrics(self) -> tuple[str, bytes]:
        """The name of this replica, and its metrics in Prometheus's text format."""
        return self._name(), self._app.context.own_metrics()

    async def reload(self) -> None:
        """Looks for new versions of every model."""
        await self._app.reload()

    async def drain(self) -> None:
        """Is no longer ready from now on, but answers."""
        self._draining = True

    def is_draining(self) -> bool:
        """Whether this replica stops soon."""
        return self._draining

    async def change(self, models: ModelRegistry, change: Change) -> Changes:
        """Changes the versions of a model here, and then in the other replicas."""
        changes = await models.change(change)
        self._changes = still_needed(self._changes, change)
        answers = await self._ask_all(_TELL_SECONDS, "follow", change, self._name())
        if reasons := [answer for answer in answers if isinstance(answer, str)]:
            raise ModelFolderError(
                f"{len(reasons)} of {len(answers)} replicas cannot, the others have: {reasons[0]}"
            )
        return changes

    async def metrics(self, own: bytes) -> bytes:  # noqa: ARG002 # all includes this replica
        """Returns the metrics of every replica."""
        try:
            answers = await self._ask_all(_METRICS_SECONDS, "own_metrics")
        except ModelFolderError as error:
            raise NotReadyError(str(error)) from None
        return merged_metrics.merge(dict(one for one in answers if isinstance(one, tuple)))

    async def _catch_up(self) -> None:
        """Makes the changes that the others have made before this replica was there."""
        if not await asyncio.to_thread(_others_run):
            return  # and a call would wait until one does
        try:
            answers = await self._ask_all(_CATCH_UP_SECONDS, "changes")
        except (ModelFolderError, RayServeException):  # they have just gone
            return
        lists = (one for one in answers if isinstance(one, list))
        missed: list[Change] = max(lists, key=len, default=[])
        for change in missed:
            if change not in self._changes:
                await self.follow(change, "")

    async def _ask_all(self, seconds: float, method: str, *arguments: Any) -> list[Any]:
        """What each replica answers to a call, this one too; exceptions are answers.

        Raises:
            ModelFolderError: If the others do not answer in time.
        """
        context = serve.get_replica_context()
        handle = serve.get_deployment_handle(context.deployment, context.app_name)
        try:
            answers: list[Any] = await handle.broadcast(method, *arguments).results_async(
                timeout_s=seconds, return_exceptions=True
            )
        except TimeoutError:
            raise ModelFolderError(f"not all replicas have answered within {seconds:g} s") from None
        for answer in answers:
            if isinstance(answer, Exception):  # it is being replaced, then
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
    """Whether Ray knows of a replica that answers."""
    context = serve.get_replica_context()
    application = serve.status().applications.get(context.app_name)
    deployments = application.deployments if application else {}
    return context.deployment in deployments and any(
        state == "RUNNING" and count
        for state, count in deployments[context.deployment].replica_states.items()
    )
