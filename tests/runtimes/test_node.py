"""Transformers.js and onnxruntime-node give Python's ids and scores, on every kind of text."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks.lib.command import BenchmarkError
from benchmarks.lib.javascript import NODE_MODULES, missing_in_node
from benchmarks.parity import runtimes
from gatewise.service.model.classifier import Classifier
from gatewise.vocab.errors import EmptyTextError

pytestmark = pytest.mark.node

DOCS = Path(__file__).parents[2] / "docs"
TRANSFORMERS, ENGINE = "Transformers.js in Node", "onnxruntime-node"


@pytest.fixture(scope="module")
def answers(questions):
    if reason := missing_in_node():
        pytest.skip(reason)
    return runtimes.in_node(list(questions.values()))


@pytest.fixture(scope="module")
def comparisons(compared, answers):
    return compared(answers)


def test_ids_are_the_same(comparisons, dictionary, check_same):
    check_same(comparisons[dictionary][TRANSFORMERS], scores=False)
    assert list(comparisons[dictionary]) == [TRANSFORMERS]


def test_ids_and_scores_are_the_same(comparisons, model, check_same):
    check_same(comparisons[model][TRANSFORMERS])
    check_same(comparisons[model][ENGINE], own_ids=False)


def test_a_text_without_a_token_is_answered_where_gatewise_refuses_it(
    questions, answers, model_folder
):
    question = questions["fp32"]
    (transformers, engine), *_ = answers
    for text in ("", "\u200b"):
        row = question.texts.index(text)
        assert np.isfinite(transformers.scores[row]).all()
        assert np.isfinite(engine.scores[row]).all()
        with pytest.raises(EmptyTextError):
            Classifier.load(model_folder).predict_proba([text])


def test_the_documented_lines_read_numbers(pairs_run, tmp_path):
    if reason := missing_in_node():
        pytest.skip(reason)
    below = (DOCS / "model-folder.md").read_text(encoding="utf-8").partition("## Numbers in Tr")[2]
    source = below.partition("```javascript\n")[2].partition("```")[0]
    (tmp_path / "numbers.mjs").write_text(source, encoding="utf-8")
    (tmp_path / "node_modules").symlink_to(NODE_MODULES.resolve())
    (tmp_path / "model").symlink_to(pairs_run[1])
    ran = subprocess.run(
        ["node", "numbers.mjs"], cwd=tmp_path, capture_output=True, encoding="utf-8", check=True
    )
    expected = Classifier.load(pairs_run[1]).predict(
        ["the film was superb and fine", "a poor story"]
    )
    np.testing.assert_allclose(json.loads(ran.stdout), expected, rtol=1e-5)


def test_a_failure_is_reported(questions, tmp_path):
    from dataclasses import replace

    if reason := missing_in_node():
        pytest.skip(reason)
    question = replace(questions["fp32"], folder=tmp_path)
    with pytest.raises(BenchmarkError, match="Node has ended at the command compare"):
        runtimes.in_node([question])
