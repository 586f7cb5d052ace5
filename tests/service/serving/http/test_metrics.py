"""The metrics: after requests of known content, against the documentation, of several replicas."""

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gatewise.service.serving.http.metrics import Metrics, merge
from gatewise.service.serving.http.middleware.access_log import RequestContext

PAGE = (Path(__file__).parents[4] / "docs" / "service.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def client(serve_app, make_app, classifier):
    return serve_app(make_app({"model": classifier}))


def read(text):
    """Every sample, by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_requests_and_texts_are_counted(client, classifier):
    before = read(client.get("/metrics").text)
    texts = ["where is the station", "☃☃☃ ☃☃", "who " * 1000]
    assert client.post("/predict", json={"inputs": texts}).status_code == 200
    assert client.post("/models/model/predict", json={"inputs": "who"}).status_code == 200
    assert client.post("/predict", json={"inputs": ""}).status_code == 422
    assert client.get("/nowhere").status_code == 404
    after = read(client.get("/metrics").text)

    def value(name, **labels):
        return after[name, frozenset((label, str(value)) for label, value in labels.items())]

    def rise(name, **labels):
        key = (name, frozenset((label, str(value)) for label, value in labels.items()))
        return after.get(key, 0) - before.get(key, 0)

    of = {"model": "model", "version": "2"}
    assert rise("gatewise_requests_total", route="/predict", status=200, **of) == 1
    assert rise("gatewise_requests_total", route="/predict", status=422, **of) == 1
    route = "/models/{name}/predict"
    assert rise("gatewise_requests_total", route=route, status=200, **of) == 1
    assert rise("gatewise_request_seconds_count", route=route, **of) == 1
    nowhere = {"route": "other", "status": 404, "model": "", "version": ""}
    assert rise("gatewise_requests_total", **nowhere) == 1
    encoded = classifier.encode([*texts, "who"])
    assert rise("gatewise_tokens_total", **of) == sum(len(one.ids) for one in encoded)
    longest, *shorter = sorted((len(one.ids) for one in encoded[:3]), reverse=True)
    assert rise("gatewise_padding_tokens_total", **of) == 2 * longest - sum(shorter)
    assert rise("gatewise_truncated_texts_total", **of) == 1
    assert rise("gatewise_best_score_count", **of) == 4
    assert rise("gatewise_queue_seconds_count", **of) == 2
    assert rise("gatewise_batch_texts_sum", **of) == 4
    assert value("gatewise_queued_texts", **of) == 0
    assert value("gatewise_model_traffic", **of) == 1
    assert value("gatewise_model_info", sha256=classifier.artifact.sha256, **of) == 1
    assert value("process_resident_memory_bytes") > 0


def test_every_metric_is_documented_with_its_labels():
    documented = {}
    for names, labels in re.findall(r"^\| (`gatewise_[^|]*) \|([^|]*)\|", PAGE, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", names):
            documented[name] = set(re.findall(r"`(\w+)`", labels))
    metrics = {metric.name: set(metric.labels) for metric in Metrics().descriptions}
    # Only gatewise_model_info, in the same row, has it.
    documented["gatewise_model_traffic"] -= {"sha256"}
    assert documented == metrics


def test_merged_each_replica_keeps_its_samples_under_its_name():
    def after_requests(times):
        metrics = Metrics()
        for _ in range(times):
            context = RequestContext("1", route="/predict", model="m", version="1", status=200)
            metrics.observe_request(context, 0.01)
        return metrics.exposition()

    expositions = {"a": after_requests(2), "b": after_requests(5)}
    merged = merge(expositions).decode()
    expected = {
        (name, labels | {("replica", replica)}): value
        for replica, content in expositions.items()
        for (name, labels), value in read(content.decode()).items()
    }
    assert read(merged) == expected
    # A metric is described once.
    types = re.findall("^# TYPE .*", merged, re.MULTILINE)
    assert len(types) == len(set(types))
    assert "# TYPE gatewise_request_seconds histogram" in types
