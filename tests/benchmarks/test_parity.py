"""The comparison of runtimes finds what differs, and asks texts of every kind."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.lib.command import BenchmarkError
from benchmarks.parity import parity, runtimes, texts
from benchmarks.parity.answers import TOLERANCE, Answers, compare

SENTENCES = ["Wo ist der Bahnhof?", "", "Où est la gare ?", "最寄りの駅はどこですか"]


@pytest.fixture(scope="module")
def question(model_folder):
    return runtimes.ask_reference(model_folder, "fp32", SENTENCES)


@pytest.fixture
def same(question):
    """A runtime that answers as the reference does."""
    ids = [list(text) for text in question.ids]
    return Answers("another", ids, question.scores.copy())


def test_every_difference_is_found(question, same):
    assert compare(question, same).differing == ()
    near = replace(same, ids=None, scores=same.scores + np.float32(9e-6))
    assert 0 < compare(question, near).largest < TOLERANCE
    other = same.scores.copy()
    other[0, 0] += 2e-5
    other[1] = np.nan
    other[2] = np.roll(other[2], 1)
    ids = [*same.ids[:3], [*same.ids[3], 1]]
    found = compare(question, replace(same, ids=ids, scores=other))
    assert (found.ids_differ, found.largest, found.differing) == (1, float("inf"), (0, 1, 2, 3))
    for fewer in (replace(same, ids=same.ids[1:]), replace(same, scores=same.scores[1:])):
        with pytest.raises(BenchmarkError, match="expected"):
            compare(question, fewer)


def test_the_ort_format_answers_the_same(question):
    assert compare(question, runtimes.in_ort_format(question)).differing == ()


def test_texts_are_of_every_kind_and_the_same_every_time(languages, tmp_path):
    (tmp_path / "languages").symlink_to(languages)
    collected = texts.collect(tmp_path, 600)
    assert collected == texts.collect(tmp_path, 600)
    assert len(collected) == 600
    assert {text for kind in texts.KINDS.values() for text in kind} <= set(collected)
    assert max(map(len, collected)) == texts.LONG
    "".join(collected).encode()  # no lone surrogate, which no file could hold


def test_the_comparison_is_a_table_and_a_difference_fails(
    run, same, model_folder, monkeypatch, capsys
):
    monkeypatch.setattr(runtimes, "precisions", lambda _: ["fp32"])
    monkeypatch.setattr(texts, "collect", lambda *_: SENTENCES)
    monkeypatch.setattr(runtimes, "in_node", lambda questions, _: [[same] for _ in questions])
    monkeypatch.setattr(runtimes, "in_chromium", lambda questions, _: [[] for _ in questions])
    rows = run(parity.main, model_folder)["parity"]
    assert [row["runtime"] for row in rows] == [runtimes.ORT_FORMAT, "another"]
    assert [row["ids that differ"] for row in rows] == [None, 0]
    same.scores[3, 0] += 1
    same.ids[3] = [*same.ids[3][:2], 7]
    rows = run(parity.main, model_folder, code=1)["parity"]
    assert rows[1]["ids that differ"] == 1
    assert rows[1]["largest score difference"] == pytest.approx(1)
