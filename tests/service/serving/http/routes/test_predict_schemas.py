import json
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from gatewise.service.serving.batching import Scored
from gatewise.service.serving.http.routes.predict import (
    PredictParameters,
    PredictRequest,
    encode,
)

SCORES = np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]], dtype=np.float32)
LABELS = ["a", "b", "c"]


def answer(scored: Scored, **options: Any) -> list[list[tuple[str, float]]]:
    rows = json.loads(encode(LABELS, scored, **options))
    return [[(each["label"], each["score"]) for each in row] for row in rows]


def labels(scored: Scored, **options: Any) -> list[list[str]]:
    return [[label for label, _ in row] for row in answer(scored, **options)]


def test_one_text_or_a_list_of_texts() -> None:
    assert PredictRequest(inputs="a text").texts == ["a text"]
    assert PredictRequest(inputs=["a text", ""]).texts == ["a text", ""]


def test_the_pointer_to_a_text() -> None:
    assert PredictRequest(inputs="a").pointer(0) == "#/inputs"
    assert PredictRequest(inputs=["a", "b"]).pointer(1) == "#/inputs/1"


@pytest.mark.parametrize(
    "body",
    [
        '{"inputs": "a", "parameters": null}',
        '{"inputs": "a", "parameters": {"top_k": null, "function_to_apply": null}}',
    ],
)
def test_null_is_the_same_as_absent(body: str) -> None:
    request = PredictRequest.model_validate_json(body)
    assert (request.parameters or PredictParameters()) == PredictParameters()


@pytest.mark.parametrize(
    ("body", "location"),
    [
        ("{}", ("inputs",)),
        ('{"inputs": {"text": "a"}}', ("inputs",)),
        ('{"inputs": []}', ("inputs", "texts")),
        ('{"inputs": ["a", 1, 2]}', ("inputs", "texts", 1)),
        ('{"inputs": "a", "options": {}}', ("options",)),
        ('{"inputs": "a", "parameters": {"top_k": 0}}', ("parameters", "top_k")),
        ('{"inputs": "a", "parameters": {"top_k": true}}', ("parameters", "top_k")),
    ],
)
def test_an_invalid_request_gives_one_error(body: str, location: tuple[str | int, ...]) -> None:
    with pytest.raises(ValidationError) as refused:
        PredictRequest.model_validate_json(body)
    assert [error["loc"] for error in refused.value.errors()] == [location]


def test_labels_are_ranked_best_first() -> None:
    scored = Scored(SCORES, [None, None])
    assert answer(scored)[0] == [("b", 0.5), ("c", 0.3), ("a", 0.2)]
    assert labels(scored) == [["b", "c", "a"], ["a", "b", "c"]]


@pytest.mark.parametrize(("top_k", "kept"), [(1, 1), (3, 3), (10**30, 3)])
def test_top_k_keeps_the_best(top_k: int, kept: int) -> None:
    scored = Scored(SCORES, [None, None])
    assert labels(scored, top_k=top_k) == [["b", "c", "a"][:kept], ["a", "b", "c"][:kept]]


def test_the_label_of_a_rejected_text_comes_first_and_counts() -> None:
    scored = Scored(SCORES, ["neither", None])
    assert answer(scored)[0] == [("neither", 0.5), ("b", 0.5), ("c", 0.3), ("a", 0.2)]
    assert answer(scored, top_k=1) == [[("neither", 0.5)], [("a", 0.4)]]


def test_labels_below_their_thresholds_are_left_out() -> None:
    scored = Scored(SCORES, [None, None])
    assert labels(scored, thresholds=(0.3, 0.5, 0.4)) == [["b"], ["a"]]


def test_a_score_is_the_shortest_decimal_of_the_same_float32() -> None:
    generator = np.random.default_rng(1)
    scores = generator.random((50, 3), dtype=np.float32) ** 40
    for row, expected in zip(answer(Scored(scores, [None] * 50)), scores, strict=True):
        found = dict(row)
        assert [np.float32(found[label]) for label in LABELS] == expected.tolist()
        assert [found[label] for label in LABELS] == [float(str(score)) for score in expected]
