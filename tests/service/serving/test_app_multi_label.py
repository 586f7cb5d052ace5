"""The HTTP service with a multi-label model."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from gatewise.service.model.classifier import Classifier
from gatewise.service.serving.app import create_app
from gatewise.service.serving.settings import Settings

ServeApp = Callable[[FastAPI], httpx.Client]


@pytest.fixture(scope="module")
def client(serve_app: ServeApp, multi_label_folder: Path) -> httpx.Client:
    return serve_app(create_app(Settings(), Classifier.load(multi_label_folder)))


def predict(client: httpx.Client, inputs: Any, **parameters: Any) -> Any:
    response = client.post("/predict", json={"inputs": inputs, "parameters": parameters})
    assert response.status_code == 200, response.text
    return response.json()


def labels(answer: Any) -> list[list[str]]:
    return [[each["label"] for each in text] for text in answer]


def test_each_label_has_its_own_probability(client: httpx.Client) -> None:
    (answer,) = predict(client, "blue green")
    assert labels([answer]) == [["blue", "green", "red"]]
    assert [each["score"] for each in answer] == pytest.approx([0.9526, 0.9526, 0.0474], abs=1e-4)
    assert predict(client, "blue green", function_to_apply="sigmoid") == [answer]


def test_softmax_on_request(client: httpx.Client) -> None:
    (answer,) = predict(client, "blue green", function_to_apply="softmax")
    assert sum(each["score"] for each in answer) == pytest.approx(1)


def test_labels_above_their_thresholds(client: httpx.Client) -> None:
    texts = ["blue reddish", "green", "red green green"]
    answer = predict(client, texts, above_threshold=True)
    assert labels(answer) == [["blue", "red"], [], ["green", "red"]]
    assert labels(predict(client, texts, above_threshold=True, top_k=1)) == [
        ["blue"],
        [],
        ["green"],
    ]
    every = predict(client, texts)
    for value in (False, None):
        assert predict(client, texts, above_threshold=value) == every


def test_thresholds_need_sigmoid(client: httpx.Client) -> None:
    parameters = {"above_threshold": True, "function_to_apply": "softmax"}
    response = client.post("/predict", json={"inputs": "blue", "parameters": parameters})
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["pointer"] == "#/parameters"
    assert error["detail"].startswith("expected function_to_apply to be sigmoid or absent")


def test_a_single_label_model_has_no_thresholds(
    serve_app: ServeApp, classifier: Classifier
) -> None:
    client = serve_app(create_app(Settings(), classifier))
    parameters = {"above_threshold": True}
    response = client.post("/predict", json={"inputs": "blue", "parameters": parameters})
    assert response.status_code == 422
    assert response.json()["type"] == "urn:gatewise:problem:invalid-request"
    (error,) = response.json()["errors"]
    assert error["pointer"] == "#/parameters/above_threshold"
    assert "exactly one label" in error["detail"]
    parameters = {"above_threshold": False}
    response = client.post("/predict", json={"inputs": "blue", "parameters": parameters})
    assert response.status_code == 200


def test_the_documented_request_is_answered(client: httpx.Client) -> None:
    page = Path(__file__).parents[3] / "docs" / "service.md"
    requests = re.findall(r"/predict --json '(.*)'", page.read_text(encoding="utf-8"))
    (body,) = [each for each in requests if "above_threshold" in each]
    response = client.post("/predict", json=json.loads(body))
    assert response.status_code == 200
    assert len(response.json()) == 2
