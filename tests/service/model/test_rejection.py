"""Rejection: a model with a reject threshold, through the classifier, HTTP and file scoring."""

import csv
import json

import numpy as np
import pytest
from pydantic import ValidationError

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import ModelConfig
from gatewise.service.model.model_folder import read_model_folder
from gatewise.service.model.scores import ranked, shortest
from gatewise.service.scoring.options import ScoringOptions
from gatewise.service.scoring.score_file import score_file
from gatewise.service.serving.app import create_app
from gatewise.service.serving.settings import Settings

TEXTS = ["Bitte geben Sie eine gültige Adresse ein.", "1 2"]
NONE = "no language"


@pytest.fixture(scope="module")
def rejecting(rejecting_folder):
    return Classifier.load(rejecting_folder)


@pytest.fixture(scope="module")
def client(serve_app, rejecting):
    return serve_app(create_app(Settings(), rejecting))


def predict(client, inputs, **parameters):
    response = client.post("/predict", json={"inputs": inputs, "parameters": parameters})
    assert response.status_code == 200, response.text
    return response.json()


def test_text_below_the_threshold_is_rejected(rejecting, classifier):
    assert rejecting.predict(TEXTS) == ["de", NONE]
    assert NONE not in rejecting.classes_
    # The probabilities do not change.
    np.testing.assert_array_equal(rejecting.predict_proba(TEXTS), classifier.predict_proba(TEXTS))
    assert rejecting.predict([]) == []


def test_threshold_itself_is_accepted(rejecting):
    assert rejecting.reject
    threshold = np.float32(rejecting.reject.threshold)
    rows = np.array(
        [[threshold, 0, 0, 0, 0], [np.nextafter(threshold, np.float32(0)), 0, 0, 0, 0]],
        dtype=np.float32,
    )
    assert rejecting.none_labels(rows) == [None, NONE]
    assert rejecting.none_labels(rows[:0]) == []


def test_best_labels_follow_the_reject_label(rejecting):
    (row,) = rejecting.predict_proba(TEXTS[1:])
    ((label, score),) = rejecting.best(row)
    assert (label, score) == (NONE, shortest(row.max()))
    assert rejecting.best(row, 3) == [(NONE, score), *ranked(rejecting.classes_, row, 2)]


def test_http_answer_begins_with_the_reject_label(client, rejecting):
    accepted, rejected = predict(client, TEXTS)
    assert [each["label"] for each in accepted] != NONE
    assert len(accepted) == len(rejecting.classes_)
    best, *others = rejected
    assert best["label"] == NONE
    # All labels follow with their scores, in descending order.
    expected = rejecting.predict_proba(TEXTS)[1]
    assert {each["label"]: each["score"] for each in others} == pytest.approx(
        dict(zip(rejecting.classes_, expected.tolist(), strict=True)), rel=1e-6
    )
    scores = [each["score"] for each in rejected]
    assert scores == sorted(scores, reverse=True)
    assert best["score"] == others[0]["score"]


def test_reject_label_counts_towards_top_k(client):
    every = predict(client, TEXTS[1])[0]
    assert predict(client, TEXTS[1], top_k=2)[0] == every[:2]


@pytest.mark.parametrize("function", ["sigmoid", "none"])
def test_rejection_does_not_depend_on_the_score_function(client, function):
    accepted, rejected = predict(client, TEXTS, function_to_apply=function)
    assert (accepted[0]["label"], rejected[0]["label"]) == ("de", NONE)
    assert rejected[0]["score"] == rejected[1]["score"]


def test_above_threshold_is_refused_for_single_label_models(client):
    body = {"inputs": "Wo?", "parameters": {"above_threshold": True}}
    assert client.post("/predict", json=body).status_code == 422


def test_scored_file_has_the_reject_label(rejecting, tmp_path):
    lines = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS)
    (tmp_path / "in.jsonl").write_text(lines, encoding="utf-8")
    score_file(
        rejecting,
        tmp_path / "in.jsonl",
        tmp_path / "out.csv",
        ScoringOptions(probabilities=True),
    )
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["de", NONE]
    best = rejecting.predict_proba(TEXTS).max(axis=1)
    assert [float(row["score"]) for row in rows] == pytest.approx(best.tolist(), rel=1e-6)
    names = {f"probability_{label}" for label in rejecting.classes_}
    assert names == {name for name in rows[0] if name.startswith("probability_")}


def test_invalid_reject_settings_are_refused(rejecting, multi_label_folder):
    single = rejecting.artifact.config
    several = read_model_folder(multi_label_folder).config
    reject = single.gatewise.reject.model_dump()
    for config, changes, reason in (
        (single, {"label": "de"}, "gatewise.reject.label is 'de', which is one of"),
        (single, {"out_of_scope": "de"}, "gatewise.reject.out_of_scope is 'de', which is one of"),
        (several, {}, "found multi_label_classification"),
        (single, {"threshold": 0}, "threshold"),
        (single, {"threshold": 1.5}, "threshold"),
    ):
        document = config.model_dump(mode="json")
        document["gatewise"]["reject"] = reject | changes
        with pytest.raises(ValidationError, match=reason):
            ModelConfig.model_validate(document)
