"""What is counted of a running service, for Prometheus: `GET /metrics`.

Owns every metric's name, meaning and labels. A service has a registry of its own; where it runs
as several processes, each keeps its figures in files (`PROMETHEUS_MULTIPROC_DIR`) and any of them
answers for all.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from gatewise.service.serving.http.middleware.request_context import RequestContext
from gatewise.service.serving.http.version_metrics import VersionMetrics
from gatewise.service.serving.model_registry import ModelRegistry
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    exposition,
    multiprocess,
)
from starlette.responses import Response

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_SCORES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
_VERSION = ("model", "version")
_SEVERAL = "PROMETHEUS_MULTIPROC_DIR"

routes = APIRouter()

_Child = TypeVar("_Child")
_Kind = TypeVar("_Kind", Counter, Gauge, Histogram)


class Metrics:
    """The figures of one service."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        if _SEVERAL in os.environ:
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            own = None  # the values go to the files, and the collector reads them there
        else:
            ProcessCollector(registry=registry)
            PlatformCollector(registry=registry)
            own = registry
        self._registry = registry
        self._described: list[Metric] = []

        def made(
            kind: type[_Kind], name: str, meaning: str, labels: tuple[str, ...] = (), **options: Any
        ) -> _Kind:
            self._described.append(Metric(name, labels, kind is Histogram))
            return kind(name, meaning, labels, registry=own, **options)

        self._requests = made(
            Counter,
            "gatewise_requests_total",
            "Requests that were answered.",
            ("route", *_VERSION, "status"),
        )
        self._request_seconds = made(
            Histogram,
            "gatewise_request_seconds",
            "Seconds from a request's headers to the end of its answer.",
            ("route", *_VERSION),
            buckets=_SECONDS,
        )
        self._queue_seconds = made(
            Histogram,
            "gatewise_queue_seconds",
            "Seconds that the texts of a request wait, tokenizing included, until they are run.",
            _VERSION,
            buckets=_SECONDS,
        )
        self._batch_texts = made(
            Histogram,
            "gatewise_batch_texts",
            "Texts that are taken from the queue at a time.",
            _VERSION,
            buckets=_TEXTS,
        )
        self._best_score = made(
            Histogram,
            "gatewise_best_score",
            "The highest probability of each text.",
            _VERSION,
            buckets=_SCORES,
        )
        self._counts = {
            name: made(Counter, f"gatewise_{name}_total", meaning, _VERSION)
            for name, meaning in {
                "tokens": "Tokens that were run.",
                "padding_tokens": "Tokens of padding that were run beside them.",
                "unknown_tokens": "Tokens that the dictionary does not hold.",
                "truncated_texts": "Texts that were longer than the model reads.",
                "none_texts": "Texts that were given none of the labels.",
                "stream_tokens": "Tokens that were read of texts that came by streams.",
            }.items()
        }
        self._refused = made(
            Counter,
            "gatewise_refused_total",
            "Requests whose texts were not answered, by the reason.",
            (*_VERSION, "reason"),
        )
        self._queued = made(
            Gauge,
            "gatewise_queued_texts",
            "Texts that wait to be run.",
            _VERSION,
            multiprocess_mode="livesum",
        )
        self._connections = made(
            Gauge,
            "gatewise_connections",
            "Connections that are open.",
            multiprocess_mode="livesum",
        )
        self._open_streams = made(
            Gauge,
            "gatewise_open_streams",
            "Streams that are open.",
            multiprocess_mode="livesum",
        )
        self._streams = made(
            Counter,
            "gatewise_streams_total",
            "Streams that ended, by how they did.",
            (*_VERSION, "end"),
        )
        self._info = made(
            Gauge,
            "gatewise_model_info",
            "1 for each version that is served.",
            (*_VERSION, "sha256"),
            multiprocess_mode="livemax",
        )
        self._traffic = made(
            Gauge,
            "gatewise_model_traffic",
            "Part of the requests without a version that a version gets.",
            _VERSION,
            multiprocess_mode="livemax",
        )
        self._loads = made(
            Counter,
            "gatewise_model_loads_total",
            "Versions that were loaded, or failed to be.",
            ("model", "result"),
        )
        self._too_many = self._requests.labels("other", "", "", "429")
        self._children: dict[tuple[object, ...], object] = {}
        self._seen: set[tuple[str, str, str]] = set()

    def answered(self, exchange: RequestContext, seconds: float) -> None:
        """Counts a request and its answer."""
        route, model, version = exchange.route or "other", exchange.model, exchange.version
        status = exchange.status
        self._child(
            (self._requests, route, model, version, status),
            lambda: self._requests.labels(route, model, version, str(status)),
        ).inc()
        self._child(
            (self._request_seconds, route, model, version),
            lambda: self._request_seconds.labels(route, model, version),
        ).observe(seconds)

    def refused(self) -> None:
        """Counts a request that was one too many."""
        self._too_many.inc()

    def streamed(self, model: str, version: str, end: str, tokens: int) -> None:
        """Counts a stream that ended."""
        self._streams.labels(model, version, end).inc()
        if model:
            self._counts["stream_tokens"].labels(model, version).inc(tokens)

    def of(self, name: str, version: str) -> VersionMetrics:
        """The figures of one version of a model."""
        return VersionMetrics(
            counts={key: one.labels(name, version) for key, one in self._counts.items()},
            refusals=lambda reason: self._refused.labels(name, version, reason),
            queue_seconds=self._queue_seconds.labels(name, version),
            batch_texts=self._batch_texts.labels(name, version),
            best_score=self._best_score.labels(name, version),
        )

    def loaded(self, name: str, result: str) -> None:
        """Counts a version that was `loaded`, or `failed` to be."""
        self._loads.labels(name, result).inc()

    def look(self, models: ModelRegistry, connections: int, streams: int) -> None:
        """Notes what is so at the moment: versions, their shares, what waits, what is open."""
        self._connections.set(connections)
        self._open_streams.set(streams)
        seen = set()
        for name in models.names():
            model = models.model(name)
            for version, share in model.traffic.items():
                served = model.served[version]
                self._queued.labels(name, version).set(served.waiting)
                self._traffic.labels(name, version).set(share)
                self._info.labels(name, version, served.sha256).set(1)
                seen.add((name, version, served.sha256))
        for name, version, sha256 in self._seen - seen:
            self._info.remove(name, version, sha256)
            if not any((name, version) == one[:2] for one in seen):
                self._queued.remove(name, version)
                self._traffic.remove(name, version)
        self._seen = seen

    def collectors(self) -> list["Metric"]:
        """Every metric of the service's own."""
        return list(self._described)

    def exposition(self) -> bytes:
        """Everything, in Prometheus's text format."""
        return exposition.generate_latest(self._registry)

    def _child(self, key: tuple[object, ...], make: Callable[[], _Child]) -> _Child:
        """A metric with its labels, which the library looks up at length."""
        found = self._children.get(key)
        if found is None:
            found = self._children[key] = make()
        return found  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as it is named in a query.

    Attributes:
        name: Its name; of a counter with `_total`.
        labels: The names of its labels.
        is_histogram: Whether it is several series, `_bucket`, `_sum` and `_count`.
    """

    name: str
    labels: tuple[str, ...]
    is_histogram: bool


@contextmanager
def of_processes() -> Iterator[Callable[[int], None]]:
    """Lets the processes that are started meanwhile keep their figures together.

    Returns:
        What forgets the state of a process that died, but not what it has counted.
    """
    with tempfile.TemporaryDirectory(prefix="gatewise-metrics-") as folder:
        os.environ[_SEVERAL] = folder
        try:
            yield lambda pid: multiprocess.mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]
        finally:
            del os.environ[_SEVERAL]


@routes.get("/metrics", summary="Figures for Prometheus", response_class=Response)
async def metrics(request: Request) -> Response:
    """Answers every figure, in Prometheus's text format."""
    figures = await request.app.state.figures()
    return Response(figures, media_type=exposition.CONTENT_TYPE_LATEST)
