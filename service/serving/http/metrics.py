"""The Prometheus metrics of the service: their names, meanings and labels.

Each service has its own registry. If it runs as several processes, each keeps its metrics in files
(`PROMETHEUS_MULTIPROC_DIR`), and any of them answers for all.
"""

import asyncio
import logging
import os
import tempfile
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import prometheus_client
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
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from gatewise.service.serving.batching import BatchStats
from gatewise.service.serving.http.middleware.access_log import RequestContext
from gatewise.service.serving.model_registry import ModelRegistry

_log = logging.getLogger(__name__)

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_SCORES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
_VERSION = ("model", "version")
_IDENTITY = (*_VERSION, "sha256")
_MAX_LABELS = 200
_OTHER_LABELS = "(other)"
"""Stands for the labels of a model beyond so many: each is a series of its own."""

_COUNTED_TOGETHER = 32
"""Requests and small batches that are counted at a time, in less than half a millisecond."""

_MULTIPROCESS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"

_Child = TypeVar("_Child")
_Kind = TypeVar("_Kind", Counter, Gauge, Histogram)


@dataclass(frozen=True, slots=True)
class MetricDescription:
    """The description of a metric."""

    name: str
    labels: tuple[str, ...]
    is_histogram: bool


@dataclass(frozen=True, slots=True)
class VersionMetrics:
    """The metrics of one version of a model, which its batching threads update."""

    counters: Mapping[str, Counter]
    refused: Callable[[str], Counter]
    queue_seconds: Histogram
    batch_texts: Histogram
    best_score: Histogram
    predictions: Mapping[str, Counter]  # of a label, or of the others
    later: Callable[[Callable[[], None]], None]  # calls what counts, with others

    def observe_later(self, stats: Callable[[], BatchStats]) -> None:
        """Counts a batch with others."""
        self.later(lambda: self.observe_batch(stats()))

    def observe_batch(self, stats: BatchStats) -> None:
        """Counts a batch."""
        self.batch_texts.observe(len(stats.texts))
        for seconds in stats.waited:
            self.queue_seconds.observe(seconds)
        for score in stats.best.tolist():
            self.best_score.observe(score)
        predicted = stats.predicted
        # A text alone, as most are where requests are few, needs no tally.
        tally = Tally(predicted).items() if len(predicted) > 1 else [(one, 1) for one in predicted]
        for label, count in tally:
            (self.predictions.get(label) or self.predictions[_OTHER_LABELS]).inc(count)
        counts = {
            "tokens": sum(len(text.ids) for text in stats.texts),
            "padding_tokens": stats.padding,
            "unknown_tokens": stats.unknown,
            "truncated_texts": sum(text.truncated for text in stats.texts),
            "linear_texts": stats.linear,
            "none_texts": stats.none,
        }
        for name, count in counts.items():
            if count:
                self.counters[name].inc(count)

    def count_refused(self, reason: str, jobs: int) -> None:
        """Counts requests whose texts got no scores."""
        self.refused(reason).inc(jobs)


class Metrics:
    """The metrics of one service."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        if _MULTIPROCESS_FOLDER in os.environ:
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            own = None  # the values go to the files, and the collector reads them there
        else:
            ProcessCollector(registry=registry)
            PlatformCollector(registry=registry)
            own = registry
        self._registry = registry
        self.descriptions: list[MetricDescription] = []

        def create(
            kind: type[_Kind], name: str, meaning: str, labels: tuple[str, ...] = (), **options: Any
        ) -> _Kind:
            self.descriptions.append(MetricDescription(name, labels, kind is Histogram))
            return kind(name, meaning, labels, registry=own, **options)

        self._requests = create(
            Counter, "gatewise_requests_total", "Answered requests.", ("route", *_VERSION, "status")
        )
        self._request_seconds = create(
            Histogram,
            "gatewise_request_seconds",
            "Seconds from the headers of a request to the end of its answer.",
            ("route", *_VERSION),
            buckets=_SECONDS,
        )
        self._queue_seconds = create(
            Histogram,
            "gatewise_queue_seconds",
            "Seconds until the texts of a request run, tokenization included.",
            _VERSION,
            buckets=_SECONDS,
        )
        self._batch_texts = create(
            Histogram, "gatewise_batch_texts", "Texts in a batch.", _VERSION, buckets=_TEXTS
        )
        self._best_score = create(
            Histogram,
            "gatewise_best_score",
            "The highest probability of each text.",
            _VERSION,
            buckets=_SCORES,
        )
        self._predictions = create(
            Counter,
            "gatewise_predictions_total",
            "Texts that got a label.",
            (*_VERSION, "label"),
        )
        self._key_requests = create(
            Counter,
            "gatewise_key_requests_total",
            "Answered requests by the name of their API key.",
            ("key", "status"),
        )
        self._counters = {
            name: create(Counter, f"gatewise_{name}_total", meaning, _VERSION)
            for name, meaning in {
                "tokens": "Tokens that were classified.",
                "padding_tokens": "Padding tokens in the batches.",
                "unknown_tokens": "Tokens that are not in the vocabulary; a word in pieces is one.",
                "truncated_texts": "Texts that are longer than the model reads.",
                "linear_texts": "Texts that the linear path alone classified; see the cascade.",
                "none_texts": "Texts that got none of the labels.",
                "stream_tokens": "Tokens of texts that came by streams.",
            }.items()
        }
        self._refused = create(
            Counter,
            "gatewise_refused_total",
            "Requests whose texts got no scores, by the reason.",
            (*_VERSION, "reason"),
        )
        self._queued = create(
            Gauge,
            "gatewise_queued_texts",
            "Texts in the queue.",
            _VERSION,
            multiprocess_mode="livesum",
        )
        self._connections = create(
            Gauge, "gatewise_connections", "Open connections.", multiprocess_mode="livesum"
        )
        self._open_streams = create(
            Gauge, "gatewise_open_streams", "Open streams.", multiprocess_mode="livesum"
        )
        self._streams = create(
            Counter,
            "gatewise_streams_total",
            "Streams that ended, by how they ended.",
            (*_VERSION, "end"),
        )
        self._info = create(
            Gauge,
            "gatewise_model_info",
            "1 for each loaded version.",
            (*_VERSION, "sha256"),
            multiprocess_mode="livemax",
        )
        self._traffic = create(
            Gauge,
            "gatewise_model_traffic",
            "The share of a version in the requests that name no version.",
            _VERSION,
            multiprocess_mode="livemax",
        )
        self._loads = create(
            Counter,
            "gatewise_model_loads_total",
            "Versions that were loaded, or failed to load.",
            ("model", "result"),
        )
        self._too_many = self._requests.labels("other", "", "", "429")
        self._children: dict[tuple[object, ...], object] = {}
        self._served: set[tuple[str, ...]] | None = None  # not known before `update_gauges`
        self._uncounted: list[Callable[[], None]] = []

    def later(self, count: Callable[[], None]) -> None:
        """Calls a function that counts something, with others; for callers in the event loop.

        After a request the code that counts is in no cache of the processor, so that counting takes
        a tenth of the request; many counts in a row take much less.
        """
        self._uncounted.append(count)
        if len(self._uncounted) % _COUNTED_TOGETHER == 0:
            loop = asyncio.get_running_loop()
            # In the turn after the one that sends the answer.
            loop.call_soon(loop.call_soon, self.count)

    def count(self) -> None:
        """Counts what is to be counted later."""
        uncounted, self._uncounted = self._uncounted, []
        for count in uncounted:
            try:
                count()
            except Exception:  # a fault must not leave the others uncounted
                _log.exception("a request or a batch was not counted")

    def observe_request(self, request: RequestContext, seconds: float) -> None:
        """Counts a request and the seconds that its answer took, with others."""
        # Not the context itself, which may hold long texts.
        values = (request.route or "other", request.model, request.version, request.status)
        self.later(partial(self._count_request, *values, request.key, seconds))

    def _count_request(
        self, route: str, model: str, version: str, status: int, key: str, seconds: float
    ) -> None:
        self._child(
            (self._requests, route, model, version, status),
            lambda: self._requests.labels(route, model, version, str(status)),
        ).inc()
        self._child(
            (self._request_seconds, route, model, version),
            lambda: self._request_seconds.labels(route, model, version),
        ).observe(seconds)
        if key:
            self._child(
                (self._key_requests, key, status),
                lambda: self._key_requests.labels(key, str(status)),
            ).inc()

    def refused(self) -> None:
        """Counts a request that is refused because too many are in flight."""
        self._too_many.inc()

    def streamed(self, model: str, version: str, end: str, tokens: int) -> None:
        """Counts a stream; `end` is `done`, `gone` (disconnected), or the kind of problem."""
        self._streams.labels(model, version, end).inc()
        if model:
            self._counters["stream_tokens"].labels(model, version).inc(tokens)

    def for_version(self, name: str, version: str, labels: Sequence[str]) -> VersionMetrics:
        """Returns the metrics of one version of a model, which predicts these labels."""
        counted = [*labels[:_MAX_LABELS], *([_OTHER_LABELS] if labels[_MAX_LABELS:] else ())]
        return VersionMetrics(
            counters={
                key: counter.labels(name, version) for key, counter in self._counters.items()
            },
            refused=lambda reason: self._refused.labels(name, version, reason),
            queue_seconds=self._queue_seconds.labels(name, version),
            batch_texts=self._batch_texts.labels(name, version),
            best_score=self._best_score.labels(name, version),
            predictions={
                label: self._predictions.labels(name, version, label) for label in counted
            },
            later=self.later,
        )

    def count_load(self, name: str, result: str) -> None:
        """Counts a version that was `loaded`, or `failed` to load."""
        self._loads.labels(name, result).inc()

    def update_gauges(self, models: ModelRegistry, connections: int, streams: int) -> None:
        """Sets the gauges: versions, their shares and queues, open connections and streams.

        Also counts what is to be counted later.
        """
        self.count()
        self._connections.set(connections)
        self._open_streams.set(streams)
        self._served = set()
        for name in models.names():
            model = models.model(name)
            for version, share in model.traffic.items():
                served = model.served[version]
                self._queued.labels(name, version).set(served.waiting)
                self._traffic.labels(name, version).set(share)
                self._info.labels(name, version, served.sha256).set(1)
                self._served |= {(name, version), (name, version, served.sha256)}

    def exposition(self) -> bytes:
        """Returns the metrics of what is served, in Prometheus's text format.

        Those of versions that are no longer served are left out, or each reload would add some.
        """
        self.count()
        registry = CollectorRegistry()
        registry.register(_OfServed(self._registry, self._served))
        return exposition.generate_latest(registry)

    def _child(self, key: tuple[object, ...], make: Callable[[], _Child]) -> _Child:
        """Returns a metric with its labels; the library's own lookup is slow."""
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = make()
        return child  # type: ignore[return-value]


@contextmanager
def shared_by_processes() -> Iterator[Callable[[int], None]]:
    """Lets the processes that are started in the block share their metrics.

    The yielded function removes the gauges of a process that died; its counters stay.
    """
    with tempfile.TemporaryDirectory(prefix="gatewise-metrics-") as folder:
        os.environ[_MULTIPROCESS_FOLDER] = folder
        try:
            yield lambda pid: multiprocess.mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]
        finally:
            del os.environ[_MULTIPROCESS_FOLDER]


class _OfServed(Collector):
    def __init__(self, registry: CollectorRegistry, served: set[tuple[str, ...]] | None) -> None:
        self._registry, self._served = registry, served

    def collect(self) -> Iterable[prometheus_client.Metric]:
        """Returns the metrics without the samples of versions that are not served."""
        for metric in self._registry.collect():
            metric.samples = [s for s in metric.samples if self._is_served(s.labels)]
            yield metric

    def _is_served(self, labels: Mapping[str, str]) -> bool:
        if self._served is None or not labels.get("version"):
            return True
        return tuple(labels[name] for name in _IDENTITY if name in labels) in self._served


class _Replicas(Collector):
    def __init__(self, expositions: Mapping[str, bytes]) -> None:
        self._expositions = expositions

    def collect(self) -> Iterable[prometheus_client.Metric]:
        """Returns every metric once, with the samples of all replicas."""
        families: dict[str, prometheus_client.Metric] = {}
        for replica, content in self._expositions.items():
            for metric in text_string_to_metric_families(content.decode()):
                empty = prometheus_client.Metric(metric.name, metric.documentation, metric.type)
                family = families.setdefault(metric.name, empty)
                for sample in metric.samples:
                    labels = {**sample.labels, "replica": replica}
                    family.samples.append(sample._replace(labels=labels))
        return families.values()


def merge(expositions: Mapping[str, bytes]) -> bytes:
    """Merges the metrics of several replicas, by their names, with the label `replica`."""
    registry = CollectorRegistry()
    registry.register(_Replicas(expositions))
    return exposition.generate_latest(registry)
