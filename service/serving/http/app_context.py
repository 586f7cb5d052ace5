"""What the routes of one application share: settings, API keys, metrics, models, streams."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from starlette.requests import HTTPConnection

from gatewise.service.model.classifier import Classifier
from gatewise.service.serving.http.auth.api_keys import ApiKeys
from gatewise.service.serving.http.metrics import Metrics
from gatewise.service.serving.http.stream.open_streams import Streams
from gatewise.service.serving.model_registry import Change, Changes, ModelRegistry
from gatewise.service.serving.model_sources import ModelSource
from gatewise.service.serving.settings import Settings


class ServerProcess:
    """The process that runs an application.

    This class stands for any ASGI server, of which nothing is known. A server that knows its
    connections, or serves from several processes, overrides the methods.
    """

    def connections(self) -> int:
        """Returns the number of open connections."""
        return 0

    def is_draining(self) -> bool:
        """Whether the process stops soon, and must get no new requests."""
        return False

    async def change(self, models: ModelRegistry, change: Change) -> Changes:
        """Changes the versions of a model in this process and in those that serve with it."""
        return await models.change(change)

    async def metrics(self, own: bytes) -> bytes:
        """Returns the metrics of all processes that serve together, in Prometheus's text format."""
        return own


@dataclass(frozen=True, slots=True, kw_only=True)
class AppContext:
    """The state of one application."""

    settings: Settings
    keys: ApiKeys
    metrics: Metrics
    models: ModelRegistry
    streams: Streams
    process: ServerProcess

    @classmethod
    def create(
        cls,
        settings: Settings,
        sources: Sequence[ModelSource],
        classifiers: Mapping[str, Classifier] | None = None,
        process: ServerProcess | None = None,
    ) -> Self:
        """Creates the state of an application."""
        metrics = Metrics()
        models = ModelRegistry(
            sources,
            settings.capacity(),
            threads=settings.threads,
            cascade=settings.cascade,
            observer=metrics,
        )
        for name, classifier in (classifiers or {}).items():
            models.add(name, "1", classifier)
        return cls(
            settings=settings,
            keys=ApiKeys(settings.api_keys_file),
            metrics=metrics,
            models=models,
            streams=Streams(settings.max_streams, settings.stream_threads),
            process=process or ServerProcess(),
        )

    async def change(self, change: Change) -> Changes:
        """Changes the versions of a model, in every process of the service."""
        return await self.process.change(self.models, change)

    def update_gauges(self) -> None:
        """Sets the gauges of this process."""
        self.metrics.update_gauges(self.models, self.process.connections(), self.streams.open)

    def own_metrics(self) -> bytes:
        """Returns the metrics of this process, in Prometheus's text format."""
        self.update_gauges()
        return self.metrics.exposition()

    async def all_metrics(self) -> bytes:
        """Returns the metrics of every process of the service, in Prometheus's text format."""
        return await self.process.metrics(self.own_metrics())


def app_context(connection: HTTPConnection) -> AppContext:
    """Returns the state of the application that a request or a WebSocket belongs to."""
    context: AppContext = connection.app.state.context
    return context
