"""The figures of several processes, told together."""

from collections.abc import Iterator

from gatewise.service.serving.http.merged_metrics import together
from gatewise.service.serving.http.metrics import Metrics
from gatewise.service.serving.http.middleware.request_context import RequestContext
from prometheus_client.parser import text_string_to_metric_families


def asked(times: int) -> bytes:
    metrics = Metrics()
    for _ in range(times):
        exchange = RequestContext("1", route="/predict", model="m", version="1", status=200)
        metrics.answered(exchange, 0.01)
    return metrics.exposition()


def samples(figures: bytes) -> Iterator[tuple[str, dict[str, str], float]]:
    for family in text_string_to_metric_families(figures.decode()):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def test_each_process_keeps_its_own_under_its_name() -> None:
    told = {"a": asked(2), "b": asked(5)}
    merged = list(samples(together(told)))
    for name, figures in told.items():
        expected = sorted(map(repr, samples(figures)))
        own = [
            (metric, {label: one for label, one in labels.items() if label != "replica"}, value)
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
    lines = together({"a": asked(1), "b": asked(1)}).decode().splitlines()
    types = [line for line in lines if line.startswith("# TYPE")]
    assert len(types) == len(set(types))
    assert "# TYPE gatewise_request_seconds histogram" in types
