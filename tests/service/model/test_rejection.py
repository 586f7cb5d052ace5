"""A model that gives some texts none of its labels, asked in each way of the service room."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import ModelConfig, RejectSettings
from gatewise.service.model.model_folder import read_model_folder
from gatewise.service.model.scores import ranked, shortest
from gatewise.service.scoring.options import ScoringOptions
from gatewise.service.scoring.score_file import score_file
from gatewise.service.serving.app import create_app
from gatewise.service.serving.settings import Settings
from pydantic import ValidationError

TEXTS = ["Bitte geben Sie eine gültige Adresse ein.", "1 2"]
NONE = "no language"


@pytest.fixture(scope="module")
def rejecting(rejecting_folder: Path) -> Classifier:
    return Classifier.load(rejecting_folder)


@pytest.fixture(scope="module")
def client(serve_app: Callable[[FastAPI], httpx.Client], rejecting: Classifier) -> httpx.Client:
    return serve_app(create_app(Settings(), rejecting))


def predict(client: httpx.Client, inputs: Any, **parameters: Any) -> Any:
    response = client.post("/predict", json={"inputs": inputs, "parameters": parameters})
    assert response.status_code == 200, response.text
    return response.json()


def test_a_text_may_be_given_none_of_the_labels(
    rejecting: Classifier, classifier: Classifier
) -> None:
    assert rejecting.predict(TEXTS) == ["de", NONE]
    assert NONE not in rejecting.classes_
    # What every label is given does not change.
    np.testing.assert_array_equal(rejecting.predict_proba(TEXTS), classifier.predict_proba(TEXTS))
    assert rejecting.predict([]) == []


def test_the_threshold_is_reached_by_its_own_number(rejecting: Classifier) -> None:
    assert rejecting.reject
    threshold = np.float32(rejecting.reject.threshold)
    rows = np.array(
        [[threshold, 0, 0, 0, 0], [np.nextafter(threshold, np.float32(0)), 0, 0, 0, 0]],
        dtype=np.float32,
    )
    assert rejecting.none_labels(rows) == [None, NONE]
    assert rejecting.none_labels(rows[:0]) == []


def test_the_best_come_after_what_is_given_instead(rejecting: Classifier) -> None:
    (row,) = rejecting.predict_proba(TEXTS[1:])
    ((label, score),) = rejecting.best(row)
    assert (label, score) == (NONE, shortest(row.max()))
    assert rejecting.best(row, 3) == [(NONE, score), *ranked(rejecting.classes_, row, 2)]


def test_an_answer_begins_with_what_is_given_instead(
    client: httpx.Client, rejecting: Classifier
) -> None:
    given, instead = predict(client, TEXTS)
    assert [each["label"] for each in given] != NONE
    assert len(given) == len(rejecting.classes_)
    best, *others = instead
    assert best["label"] == NONE
    # The labels are all there, with the scores that they have, and the list still falls.
    expected = rejecting.predict_proba(TEXTS)[1]
    assert {each["label"]: each["score"] for each in others} == pytest.approx(
        dict(zip(rejecting.classes_, expected.tolist(), strict=True)), rel=1e-6
    )
    scores = [each["score"] for each in instead]
    assert scores == sorted(scores, reverse=True)
    assert best["score"] == others[0]["score"]


@pytest.mark.parametrize("top_k", [1, 2, 100])
def test_it_counts_among_the_labels_asked_for(client: httpx.Client, top_k: int) -> None:
    every = predict(client, TEXTS[1])[0]
    assert predict(client, TEXTS[1], top_k=top_k)[0] == every[:top_k]


@pytest.mark.parametrize("function", ["softmax", "sigmoid", "none"])
def test_it_does_not_depend_on_the_scores_asked_for(client: httpx.Client, function: str) -> None:
    given, instead = predict(client, TEXTS, function_to_apply=function)
    assert (given[0]["label"], instead[0]["label"]) == ("de", NONE)
    assert instead[0]["score"] == instead[1]["score"]


def test_thresholds_of_labels_are_still_of_other_models(client: httpx.Client) -> None:
    body = {"inputs": "Wo?", "parameters": {"above_threshold": True}}
    assert client.post("/predict", json=body).status_code == 422


def test_a_scored_file_has_it_in_the_column_of_the_label(
    rejecting: Classifier, tmp_path: Path
) -> None:
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


@pytest.mark.parametrize("key", ["label", "out_of_scope"])
def test_its_names_are_those_of_no_label(rejecting: Classifier, key: str) -> None:
    document = rejecting.artifact.config.model_dump(mode="json")
    document["gatewise"]["reject"][key] = "de"
    with pytest.raises(ValidationError, match=rf"gatewise.reject.{key} is 'de', which is one of"):
        ModelConfig.model_validate(document)


def test_it_is_of_models_that_give_one_label(multi_label_folder: Path) -> None:
    document = read_model_folder(multi_label_folder).config.model_dump(mode="json")
    document["gatewise"]["reject"] = RejectSettings(threshold=0.5, label="none").model_dump()
    with pytest.raises(ValidationError, match="found multi_label_classification"):
        ModelConfig.model_validate(document)


@pytest.mark.parametrize("threshold", [0, -1, 1.5])
def test_a_threshold_is_a_probability(threshold: float) -> None:
    with pytest.raises(ValidationError, match="threshold"):
        RejectSettings(threshold=threshold, label="none")
