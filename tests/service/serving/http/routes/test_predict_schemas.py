import json
import subprocess
import sys

import numpy as np
import pytest

from gatewise.service.serving.batching import Scored
from gatewise.service.serving.http.routes.predict import encode

SCORES = np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]], dtype=np.float32)
LABELS = ["a", "b", "c"]


@pytest.mark.parametrize(
    ("none", "options", "expected"),
    [
        ([None, None], {}, ["b .5 c .3 a .2", "a .4 b .4 c .2"]),
        ([None, None], {"top_k": 1}, ["b .5", "a .4"]),
        ([None, None], {"top_k": 10**30}, ["b .5 c .3 a .2", "a .4 b .4 c .2"]),
        (["neither", None], {}, ["neither .5 b .5 c .3 a .2", "a .4 b .4 c .2"]),
        (["neither", None], {"top_k": 1}, ["neither .5", "a .4"]),
        ([None, None], {"thresholds": (0.3, 0.5, 0.4)}, ["b .5", "a .4"]),
    ],
)
def test_labels_are_ranked_best_first(none, options, expected):
    rows = json.loads(encode(LABELS, Scored(SCORES, none), **options))
    found = [" ".join(f"{each['label']} {each['score']}" for each in row) for row in rows]
    assert found == [row.replace(" .", " 0.") for row in expected]


def test_a_score_is_the_shortest_decimal_of_the_same_float32():
    scores = np.random.default_rng(1).random((50, 3), dtype=np.float32) ** 40
    rows = json.loads(encode(LABELS, Scored(scores, [None] * 50)))
    for row, expected in zip(rows, scores, strict=True):
        found = {each["label"]: each["score"] for each in row}
        assert [np.float32(found[label]) for label in LABELS] == expected.tolist()
        assert [found[label] for label in LABELS] == [float(str(score)) for score in expected]


def test_the_first_request_waits_for_no_schema():
    code = (
        "from pydantic import BaseModel\n"
        "BaseModel.model_config['defer_build'] = True\n"  # as the command does
        "from gatewise.service.serving.http.routes.explain import ExplainRequest\n"
        "from gatewise.service.serving.http.routes.predict import PredictRequest\n"
        "print(PredictRequest.__pydantic_complete__, ExplainRequest.__pydantic_complete__)"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, text=True) == "True False\n"
