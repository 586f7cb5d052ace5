"""The metrics: after requests of known content, and against the documentation."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from gatewise.service.model.classifier import Classifier
from gatewise.service.serving.app import create_app
from gatewise.service.serving.http.metrics import Metrics
from gatewise.service.serving.settings import Settings

PAGE = (Path(__file__).parents[4] / "docs" / "service.md").read_text()


@pytest.fixture(scope="module")
def client(serve_app: Callable[[FastAPI], httpx.Client], classifier: Classifier) -> httpx.Client:
    return serve_app(create_app(Settings(), classifier))


def read(client: httpx.Client) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample, by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
    }


def test_requests_and_texts_are_counted(client: httpx.Client, classifier: Classifier) -> None:
    before = read(client)
    texts = ["where is the station", "☃☃☃ ☃☃", "who " * 1000]
    assert client.post("/predict", json={"inputs": texts}).status_code == 200
    assert client.post("/models/model/predict", json={"inputs": "who"}).status_code == 200
    assert client.post("/predict", json={"inputs": ""}).status_code == 422
    assert client.get("/nowhere").status_code == 404
    after = read(client)

    def rise(name: str, **labels: Any) -> float:
        key = (name, frozenset({label: str(value) for label, value in labels.items()}.items()))
        return after.get(key, 0) - before.get(key, 0)

    of = {"model": "model", "version": "1"}
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
    assert after["gatewise_queued_texts", frozenset(of.items())] == 0
    assert after["gatewise_model_traffic", frozenset(of.items())] == 1
    info = {**of, "sha256": classifier.artifact.sha256}
    assert after["gatewise_model_info", frozenset(info.items())] == 1
    assert ("process_resident_memory_bytes", frozenset()) in after


def test_every_metric_is_documented_with_its_labels() -> None:
    documented: dict[str, set[str]] = {}
    for names, labels in re.findall(r"^\| (`gatewise_[^|]*) \|([^|]*)\|", PAGE, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", names):
            documented[name] = set(re.findall(r"`(\w+)`", labels))
    metrics = {metric.name: set(metric.labels) for metric in Metrics().descriptions}
    documented["gatewise_model_traffic"] -= {
        "sha256"
    }  # only gatewise_model_info, in the same row, has it
    assert documented == metrics
