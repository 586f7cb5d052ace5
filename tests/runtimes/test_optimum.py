"""Hugging Face's optimum gives Python's ids and scores; needs an environment of its own."""

import os
from pathlib import Path

import pytest

from benchmarks.parity import runtimes

VARIABLE = "OPTIMUM_PYTHON"

# Before the questions are made, which takes a while.
pytestmark = [
    pytest.mark.install,
    pytest.mark.skipif(
        not os.environ.get(VARIABLE),
        reason=f"{VARIABLE} names no Python that has optimum; see benchmarks/parity/README.md",
    ),
]


@pytest.fixture(scope="module")
def comparisons(questions, compared):
    return compared(runtimes.in_optimum(list(questions.values()), Path(os.environ[VARIABLE])))


def test_ids_are_the_same(comparisons, dictionary, check_same):
    check_same(comparisons[dictionary]["optimum"], scores=False)


def test_ids_and_scores_are_the_same(comparisons, model, check_same):
    check_same(comparisons[model]["optimum"])
