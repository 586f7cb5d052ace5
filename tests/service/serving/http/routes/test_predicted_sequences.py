"""The routes with a model of sequences of numbers beside one of texts."""

import json
import math
import re

import numpy as np
import pytest

from gatewise.service.model.classifier import Classifier
from gatewise.service.serving.http.routes.predict import PredictRequest
from gatewise.vocab.tokenizer.sequence_encoding import SequenceEncoder


@pytest.fixture(scope="module")
def model(gestures_run):
    return Classifier.load(gestures_run[1])


@pytest.fixture(scope="module")
def client(serve_app, make_app, model, model_folder):
    return serve_app(make_app({"gestures": model, "texts": Classifier.load(model_folder)}))


@pytest.fixture(scope="module")
def sequences(gestures):
    return gestures(5, 7)[0]


def plain(numbers):
    return [
        [None if math.isnan(number) else number for number in step] for step in numbers.tolist()
    ]


def best(row):
    return row[0]["label"], np.float32(row[0]["score"])


def test_a_sequence_or_several_are_predicted_as_in_python(client, model, sequences):
    path, inputs = "/models/gestures/predict", list(map(plain, sequences))
    answer = client.post(path, json={"inputs": inputs}).json()
    expected = zip(
        model.predict(sequences), model.predict_proba(sequences).max(axis=1), strict=True
    )
    assert list(map(best, answer)) == list(expected)
    for one, row in zip(inputs, answer, strict=True):
        assert client.post(path, json={"inputs": one}).json() == [row]
    top = client.post(path, json={"inputs": inputs, "parameters": {"top_k": 1}}).json()
    assert top == [row[:1] for row in answer]


@pytest.mark.parametrize(
    ("model_name", "inputs", "pointer", "detail"),
    [
        ("gestures", "a text", "#/inputs", "expected sequences of numbers.*received texts"),
        ("gestures", ["a", "b"], "#/inputs", "expected sequences of numbers.*received texts"),
        ("texts", [[1, 2]], "#/inputs/0", "expected texts.*received sequences of numbers"),
        ("texts", [1.5], "#/inputs/0", "expected texts.*received sequences of numbers"),
        ("gestures", [1, 2], "#/inputs", "expected vectors of 2 numbers, received numbers"),
        (
            "gestures",
            [[1, 2, 3]],
            "#/inputs",
            "expected vectors of 2 numbers, received vectors of 3",
        ),
        ("gestures", [[[1, 2]], [[1, 2], [3]]], "#/inputs/1", "step 1.*a vector of 2 numbers"),
        (
            "gestures",
            [[[1, 2]], [[1, "2"]]],
            "#/inputs/1",
            "expected a number or null, received '2'",
        ),
        ("gestures", [[[1, True]]], "#/inputs/0", "expected a number or null, received True"),
        ("gestures", [[[1, 1e39]]], "#/inputs/0", "expected a finite number of 32 bits"),
        ("gestures", [[]], "#/inputs", "the sequence is empty"),
        ("gestures", [[[1, 2]]] * 129, "#/inputs", "expected at most 128 sequences, received 129"),
    ],
)
def test_other_inputs_are_refused_with_their_place(client, model_name, inputs, pointer, detail):
    response = client.post(f"/models/{model_name}/predict", json={"inputs": inputs})
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["pointer"] == pointer
    assert re.search(detail, error["detail"])


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ([1, None, 3], [[1, None, 3]]),
        ([[1, 2], [3]], [[1, 2], [3]]),
        ([[[1], [2]], [3]], [[1, 2], [3]]),
        ([None, 1], [[None, 1]]),
    ],
)
def test_a_step_with_one_number_needs_no_list(inputs, expected):
    request = PredictRequest.model_validate_json(json.dumps({"inputs": inputs}))
    found = [
        [None if math.isnan(number) else number for number in each[:, 0].tolist()]
        for each in request.items(SequenceEncoder(1, 10), 10)
    ]
    assert found == expected


def test_the_open_inference_protocol_takes_sequences_as_json(client, model, sequences):
    texts = [json.dumps(plain(numbers)) for numbers in sequences]
    tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}
    path = "/v2/models/gestures/infer"
    answer = client.post(path, json={"inputs": [tensor]}).json()
    outputs = {output["name"]: output["data"] for output in answer["outputs"]}
    assert outputs["label"] == model.predict(sequences)
    for wrong in ("no numbers", "[[1, NaN]]", "[[1, -Infinity]]"):
        tensor |= {"data": ["[[1, 2]]", wrong], "shape": [2]}
        refused = client.post(path, json={"inputs": [tensor]})
        assert refused.status_code == 400
        assert "text 1: expected a list of numbers, null for" in refused.json()["error"]


def test_numbers_have_no_explanation(client, sequences):
    for name, inputs in (("gestures", plain(sequences[0])), ("gestures", "a"), ("texts", [[1]])):
        response = client.post(f"/models/{name}/explain", json={"inputs": inputs})
        assert response.status_code == 422
        assert "have no explanation" in response.json()["errors"][0]["detail"]


def test_the_service_lists_and_watches_such_a_model(client, sequences):
    assert client.get("/health/ready").status_code == 200
    versions = client.get("/models").json()["models"][0]["versions"]
    assert not versions[0]["streams"]
    client.post("/models/gestures/predict", json={"inputs": plain(sequences[0])})
    metrics = client.get("/metrics").text
    assert 'model="gestures"' in metrics
