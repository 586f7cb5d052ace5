"""The metrics: after requests of known content, against the documentation, of several replicas."""

import asyncio
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gatewise.service.serving.batching import BatchStats
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


def test_predictions_are_counted_by_label(serve_app, make_app, models):
    client = serve_app(make_app(models))
    german = "Bitte geben Sie eine gültige Adresse ein."
    for name, texts in {
        "languages": [german, german],
        "colours": ["blue blue red red", "blue", "grey"],
        "rejecting": [german, "1 2"],
    }.items():
        answer = client.post(f"/models/{name}/predict", json={"inputs": texts})
        assert answer.status_code == 200
    found = {
        (labels["model"], labels["label"]): value
        for (name, pairs), value in read(client.get("/metrics").text).items()
        if name == "gatewise_predictions_total" and value
        for labels in [dict(pairs)]
    }
    assert found == {
        ("languages", "de"): 2,
        # Any number of labels a text: two, one and none.
        ("colours", "blue"): 2,
        ("colours", "red"): 1,
        ("rejecting", "de"): 1,
        ("rejecting", "no language"): 1,
    }


def test_the_labels_beyond_200_are_counted_together():
    metrics = Metrics()
    of_version = metrics.for_version("m", "1", [f"label {number}" for number in range(1000)])
    for number in range(1000):
        of_version.observe_batch(
            BatchStats([], 0, np.zeros(0, np.float32), 0, [f"label {number}"], 0, [])
        )
    found = {
        dict(labels)["label"]: value
        for (name, labels), value in read(metrics.exposition().decode()).items()
        if name == "gatewise_predictions_total"
    }
    assert len(found) == 201
    assert found["label 199"] == 1
    assert found["(other)"] == 800


def test_requests_are_counted_by_key_and_refusals_under_their_route(serve_app, make_app, keys):
    client = serve_app(make_app(api_keys_file=keys.file))
    body = {"inputs": "who"}
    assert client.post("/predict", json=body, headers=keys.predict).status_code == 200
    assert client.get("/nowhere", headers=keys.predict).status_code == 404
    for method, path in (
        ("POST", "/predict"),
        ("POST", "/models/languages/predict"),
        ("HEAD", "/models"),
        ("GET", "/v2/models/languages/versions/1/ready"),
        ("GET", "/nowhere"),
    ):
        assert client.request(method, path).status_code == 401
    found = read(client.get("/metrics", headers=keys.admin).text)

    def value(name, **labels):
        return found.get((name, frozenset(labels.items())))

    assert value("gatewise_key_requests_total", key="predict", status="200") == 1
    assert value("gatewise_key_requests_total", key="predict", status="404") == 1
    refused = {
        dict(labels)["route"]: number
        for (name, labels), number in found.items()
        if name == "gatewise_requests_total" and dict(labels)["status"] == "401"
    }
    assert refused == {
        "/predict": 1,
        "/models/{name}/predict": 1,
        "/models": 1,
        "/v2/models/{name}/versions/{version}/ready": 1,
        "other": 1,
    }


def test_every_metric_is_documented_with_its_labels():
    documented = {}
    for names, labels in re.findall(r"^\| (`gatewise_[^|]*) \|([^|]*)\|", PAGE, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", names):
            documented[name] = set(re.findall(r"`(\w+)`", labels))
    metrics = {metric.name: set(metric.labels) for metric in Metrics().descriptions}
    # Only gatewise_model_info, in the same row, has it.
    documented["gatewise_model_traffic"] -= {"sha256"}
    assert documented == metrics


@pytest.mark.anyio
async def test_what_counts_later_is_called_once_some_wait_or_the_metrics_are_read(caplog):
    metrics, counted = Metrics(), []
    for number in range(31):
        metrics.later(partial(counted.append, number))
    await asyncio.sleep(0.01)
    assert not counted
    metrics.later(partial(counted.append, 31))
    assert not counted  # for the answer is not sent yet
    while not counted:
        await asyncio.sleep(0)
    assert counted == list(range(32))
    metrics.later(partial(int, "a fault"))
    metrics.later(counted.clear)
    metrics.exposition()
    assert not counted
    assert "was not counted" in caplog.text


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
