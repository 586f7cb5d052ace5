"""The runtimes of a browser give Python's ids and scores, in a real Chromium."""

import pytest

from benchmarks.lib.javascript import missing_in_chromium
from benchmarks.parity import runtimes

pytestmark = pytest.mark.browser

TRANSFORMERS, ENGINE = "Transformers.js in Chromium", "onnxruntime-web in Chromium"


@pytest.fixture(scope="module")
def comparisons(questions, compared):
    if reason := missing_in_chromium():
        pytest.skip(reason)
    return compared(runtimes.in_chromium(list(questions.values())))


def test_ids_are_the_same(comparisons, dictionary, check_same):
    check_same(comparisons[dictionary][TRANSFORMERS], scores=False)
    assert list(comparisons[dictionary]) == [TRANSFORMERS]


def test_ids_and_scores_are_the_same(comparisons, model, check_same):
    check_same(comparisons[model][TRANSFORMERS])
    check_same(comparisons[model][ENGINE], own_ids=False)
