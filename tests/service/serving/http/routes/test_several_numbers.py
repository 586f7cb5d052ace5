"""The routes with a model that predicts two numbers: both, in the model's order."""

import numpy as np
import pytest

from gatewise.service.model.classifier import Classifier

TEXTS = ["the film was superb and fine", "a poor story"]
NAMES = ["rating", "length"]


@pytest.fixture(scope="module")
def model(pairs_run):
    return Classifier.load(pairs_run[1])


@pytest.fixture(scope="module")
def client(serve_app, make_app, model):
    return serve_app(make_app({"numbers": model}))


def test_every_number_is_answered_in_the_order_of_the_model(client, model):
    expected = model.predict(TEXTS)
    # The smaller number comes first all the same.
    assert (expected[:, 0] < expected[:, 1]).all()
    answer = client.post("/predict", json={"inputs": TEXTS}).json()
    assert [[each["label"] for each in row] for row in answer] == [NAMES, NAMES]
    assert (np.float32([[each["score"] for each in row] for row in answer]) == expected).all()
    body = {"inputs": TEXTS, "parameters": {"top_k": 1}}
    assert client.post("/predict", json=body).json() == [row[:1] for row in answer]


def test_one_of_the_numbers_is_explained(client, model):
    numbers = model.predict([TEXTS[0]])[0]
    for label, name in ((None, "rating"), ("length", "length")):
        body = {"inputs": TEXTS[0], "parameters": {"label": label}}
        (found,) = client.post("/explain", json=body).json()
        assert found["label"] == name
        assert np.float32(found["score"]) == numbers[NAMES.index(name)]
        assert [each["label"] for each in found["labels"]] == NAMES
    body["parameters"]["label"] = "value"
    assert client.post("/explain", json=body).status_code == 422


def test_the_open_inference_protocol_has_all_numbers(client, model):
    expected = model.predict(TEXTS)
    tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "data": TEXTS}
    names = ["label", "score", "scores", "classes", "given"]
    request = {"inputs": [tensor], "outputs": [{"name": name} for name in names]}
    answer = client.post("/v2/models/numbers/infer", json=request).json()
    outputs = {output["name"]: output for output in answer["outputs"]}
    declared = client.get("/v2/models/numbers").json()["outputs"]
    shapes = {output["name"]: output["shape"] for output in declared}
    for name, output in outputs.items():
        assert [size if size > 0 else 2 for size in shapes[name]] == output["shape"]
    assert outputs["label"]["data"] == NAMES * 2
    assert (np.float32(outputs["score"]["data"]) == expected.ravel()).all()
    assert (np.float32(outputs["scores"]["data"]) == expected.ravel()).all()
    assert outputs["classes"]["data"] == NAMES
    assert outputs["given"]["data"] == [True] * 4


def test_models_have_an_interval_for_each_number(client, model):
    (listed,) = client.get("/models").json()["models"]
    for version in listed["versions"]:
        assert version["interval"]["half_width"] == list(model.interval.half_widths)


@pytest.mark.parametrize("path", ["/predict", "/explain", "/v2/models/numbers/infer"])
@pytest.mark.parametrize("number", ["NaN", "-Infinity"])
def test_numbers_that_json_does_not_have_are_refused(client, path, number):
    response = client.post(
        path, content=f'{{"inputs": [1, {number}]}}', headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 400
    assert "without NaN and Infinity" in response.text
