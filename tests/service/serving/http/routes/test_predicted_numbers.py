"""The routes with a model that predicts numbers."""

import numpy as np
import pytest

from gatewise.service.model.classifier import Classifier

TEXTS = ["the film was superb and fine", "a poor story"]


@pytest.fixture(scope="module")
def model(numbers_run):
    return Classifier.load(numbers_run[1])


@pytest.fixture(scope="module")
def client(serve_app, make_app, model):
    return serve_app(make_app({"numbers": model}))


def test_the_number_is_the_score_of_the_label_value(client, model):
    expected = model.predict(TEXTS)
    answer = client.post("/predict", json={"inputs": TEXTS}).json()
    assert [[label["label"] for label in row] for row in answer] == [["value"], ["value"]]
    assert (np.float32([row[0]["score"] for row in answer]) == expected).all()
    body = {"inputs": TEXTS, "parameters": {"function_to_apply": "none", "top_k": 1}}
    assert client.post("/predict", json=body).json() == answer


@pytest.mark.parametrize("path", ["/predict", "/explain"])
def test_a_number_has_no_probability(client, path):
    body = {"inputs": TEXTS, "parameters": {"function_to_apply": "softmax"}}
    response = client.post(path, json=body)
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["pointer"] == "#/parameters/function_to_apply"
    assert "predicts numbers" in error["detail"]


def test_shares_are_differences_of_the_number(client, model):
    (found,) = client.post("/explain", json={"inputs": TEXTS[0]}).json()
    assert (found["task"], found["label"]) == ("regression", "value")
    (number,) = model.predict([TEXTS[0]])
    assert np.float32(found["score"]) == number
    shares = {token["text"]: token["share"] for token in found["tokens"]}
    without = model.artifact.tokenizer.encode(TEXTS[0]).ids
    assert max(shares, key=shares.get) == "superb"
    assert len(shares) == len(without) - 1


def test_the_open_inference_protocol_has_the_number_as_its_score(client, model):
    tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "data": TEXTS}
    path = "/v2/models/numbers/infer"
    answer = client.post(path, json={"inputs": [tensor]}).json()
    outputs = {output["name"]: output["data"] for output in answer["outputs"]}
    assert outputs["label"] == ["value", "value"]
    assert (np.float32(outputs["score"]) == model.predict(TEXTS)).all()
    parameters = {"function_to_apply": "sigmoid"}
    refused = client.post(path, json={"inputs": [tensor], "parameters": parameters})
    assert refused.status_code == 400
    assert "predicts numbers" in refused.json()["error"]


def test_models_tell_the_task_and_metrics_observe_no_probability(client):
    (listed,) = client.get("/models").json()["models"]
    assert {version["task"] for version in listed["versions"]} == {"regression"}
    client.post("/predict", json={"inputs": TEXTS})
    metrics = client.get("/metrics").text
    counts = [line for line in metrics.splitlines() if line.startswith("gatewise_best_score_count")]
    assert all(float(line.split()[-1]) == 0 for line in counts)
