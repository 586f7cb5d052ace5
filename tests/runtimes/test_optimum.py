"""Hugging Face's optimum gives Python's ids and scores; needs an environment of its own."""

import os
from pathlib import Path

import pytest

VARIABLE = "OPTIMUM_PYTHON"


@pytest.fixture(scope="module")
def comparisons(parity, asked, compared):
    python = os.environ.get(VARIABLE)
    if not python:
        pytest.skip(f"{VARIABLE} names no Python that has optimum; see benchmarks/README.md")
    questions = [one.question for one in asked.values()]
    return compared(parity.in_optimum.ask(questions, Path(python)))


def test_ids_are_the_same(comparisons, dictionary, check_same):
    check_same(comparisons[dictionary]["optimum"], scores=False)


def test_ids_and_scores_are_the_same(comparisons, model, check_same):
    check_same(comparisons[model]["optimum"])
