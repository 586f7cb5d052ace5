"""Merged metrics: each replica keeps its samples under its name."""

from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families

from gatewise.service.serving.http.metrics import Metrics, merge
from gatewise.service.serving.http.middleware.access_log import RequestContext


def after_requests(times: int) -> bytes:
    metrics = Metrics()
    for _ in range(times):
        context = RequestContext("1", route="/predict", model="m", version="1", status=200)
        metrics.observe_request(context, 0.01)
    return metrics.exposition()


def samples(content: bytes) -> Iterator[tuple[str, dict[str, str], float]]:
    for family in text_string_to_metric_families(content.decode()):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def test_each_replica_keeps_its_samples_under_its_name() -> None:
    expositions = {"a": after_requests(2), "b": after_requests(5)}
    merged = list(samples(merge(expositions)))
    for name, content in expositions.items():
        expected = sorted(map(repr, samples(content)))
        own = [
            (metric, {label: text for label, text in labels.items() if label != "replica"}, value)
            for metric, labels, value in merged
            if labels["replica"] == name
        ]
        assert sorted(map(repr, own)) == expected
    requests = {
        labels["replica"]: value
        for metric, labels, value in merged
        if metric == "gatewise_requests_total" and labels["status"] == "200"
    }
    assert requests == {"a": 2, "b": 5}


def test_a_metric_is_described_once() -> None:
    lines = merge({"a": after_requests(1), "b": after_requests(1)}).decode().splitlines()
    types = [line for line in lines if line.startswith("# TYPE")]
    assert len(types) == len(set(types))
    assert "# TYPE gatewise_request_seconds histogram" in types
