"""The runtimes of a browser give Python's ids and scores, in a real Chromium."""

import pytest

pytestmark = pytest.mark.browser

TRANSFORMERS, ENGINE = "Transformers.js in Chromium", "onnxruntime-web in Chromium"


@pytest.fixture(scope="module")
def comparisons(parity, asked, compared):
    if reason := parity.in_chromium.missing(parity.in_node.NODE_MODULES):
        pytest.skip(reason)
    return compared(parity.in_chromium.ask([one.question for one in asked.values()]))


def test_ids_are_the_same(comparisons, dictionary, check_same):
    check_same(comparisons[dictionary][TRANSFORMERS], scores=False)
    assert list(comparisons[dictionary]) == [TRANSFORMERS]


def test_ids_and_scores_are_the_same(comparisons, model, check_same):
    check_same(comparisons[model][TRANSFORMERS])
    check_same(comparisons[model][ENGINE], own_ids=False)
