import numpy as np
import pytest
from pydantic import ValidationError

from service.http.schemas import LabelScore, PredictParameters, PredictRequest, rank

SCORES = np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]], dtype=np.float32)
LABELS = ["a", "b", "c"]


def labels(answer: list[list[LabelScore]]) -> list[list[str]]:
    return [[each.label for each in text] for text in answer]


def test_one_text_and_a_list_of_texts_are_taken() -> None:
    assert PredictRequest(inputs="a text").texts == ["a text"]
    assert PredictRequest(inputs=["a text", ""]).texts == ["a text", ""]


def test_the_place_of_a_text_in_the_request() -> None:
    assert PredictRequest(inputs="a").location(0) == ("inputs",)
    assert PredictRequest(inputs=["a", "b"]).location(1) == ("inputs", 1)


@pytest.mark.parametrize(
    "body",
    [
        '{"inputs": "a"}',
        '{"inputs": "a", "parameters": null}',
        '{"inputs": "a", "parameters": {}}',
        '{"inputs": "a", "parameters": {"top_k": null, "function_to_apply": null}}',
    ],
)
def test_what_is_null_is_absent(body: str) -> None:
    asked = PredictRequest.model_validate_json(body)
    assert (asked.parameters or PredictParameters()) == PredictParameters()


@pytest.mark.parametrize(
    ("body", "location"),
    [
        ("{}", ("inputs",)),
        ('{"inputs": null}', ("inputs",)),
        ('{"inputs": {"text": "a"}}', ("inputs",)),
        ('{"inputs": []}', ("inputs", "texts")),
        ('{"inputs": ["a", 1, 2]}', ("inputs", "texts", 1)),
        ('{"inputs": "a", "options": {}}', ("options",)),
        ('{"inputs": "a", "parameters": {"top_n": 1}}', ("parameters", "top_n")),
        ('{"inputs": "a", "parameters": {"top_k": 0}}', ("parameters", "top_k")),
        ('{"inputs": "a", "parameters": {"top_k": true}}', ("parameters", "top_k")),
        ('{"inputs": "a", "parameters": {"top_k": "3"}}', ("parameters", "top_k")),
        (
            '{"inputs": "a", "parameters": {"function_to_apply": "relu"}}',
            ("parameters", "function_to_apply"),
        ),
    ],
)
def test_a_request_of_the_wrong_shape_gives_one_error(
    body: str, location: tuple[str | int, ...]
) -> None:
    with pytest.raises(ValidationError) as refused:
        PredictRequest.model_validate_json(body)
    assert [error["loc"] for error in refused.value.errors()] == [location]


def test_labels_are_ranked_best_first() -> None:
    answer = rank(LABELS, SCORES)
    assert labels(answer) == [["b", "c", "a"], ["a", "b", "c"]]
    assert [each.score for each in answer[0]] == pytest.approx([0.5, 0.3, 0.2])


@pytest.mark.parametrize(("top_k", "kept"), [(1, 1), (2, 2), (3, 3), (4, 3), (10**30, 3)])
def test_top_k_keeps_the_best(top_k: int, kept: int) -> None:
    assert labels(rank(LABELS, SCORES, top_k)) == [["b", "c", "a"][:kept], ["a", "b", "c"][:kept]]
