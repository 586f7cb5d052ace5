"""The comparison of runtimes finds what differs, says so, and asks texts of every kind."""

import csv
import json
import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

TEXTS = ["Wo ist der Bahnhof?", "", "Où est la gare ?", "最寄りの駅はどこですか"]


@pytest.fixture(scope="module")
def parity(benchmark_module):
    return benchmark_module("parity")


@pytest.fixture(scope="module")
def answers(benchmark_module):
    return benchmark_module("answers")


@pytest.fixture(scope="module")
def asked(parity, model_folder):
    return parity.in_onnxruntime.ask(model_folder, "fp32", TEXTS, timed=True)


@pytest.fixture
def same(answers, asked):
    """A runtime that answers as the reference does."""
    ids = [list(text) for text in asked.question.ids]
    return answers.Answers("another", ids, asked.scores.copy(), [2.0, 1.0, 3.0])


def test_the_same_answers_differ_in_nothing(answers, asked, same):
    comparison = answers.compare(asked.question, asked.scores, same)
    assert (comparison.texts, comparison.ids_differ, comparison.largest) == (4, 0, 0)
    assert (comparison.beyond, comparison.tops_differ, comparison.differing) == (0, 0, ())


def test_every_difference_is_found(answers, asked, same):
    ids = [*same.ids[:3], [*same.ids[3], 1]]
    scores = same.scores.copy()
    scores[0, 0] += 2e-5
    scores[1] = np.nan
    scores[2] = np.roll(scores[2], 1)
    strayed = replace(same, ids=ids, scores=scores)
    comparison = answers.compare(asked.question, asked.scores, strayed)
    assert comparison.ids_differ == 1
    assert comparison.largest == float("inf")
    assert comparison.beyond >= 1 + scores.shape[1] + 2
    assert comparison.tops_differ >= 1
    assert comparison.differing == (0, 1, 2, 3)


def test_scores_within_the_tolerance_are_the_same(answers, asked, same):
    near = replace(same, ids=None, scores=same.scores + np.float32(9e-6))
    comparison = answers.compare(asked.question, asked.scores, near)
    assert comparison.ids_differ is None
    assert 0 < comparison.largest < answers.TOLERANCE
    assert comparison.differing == ()


def test_answers_to_fewer_texts_are_an_error(answers, asked, same):
    for fewer in (replace(same, ids=same.ids[1:]), replace(same, scores=same.scores[1:])):
        with pytest.raises(answers.RuntimeFailedError, match="expected"):
            answers.compare(asked.question, asked.scores, fewer)


def test_the_reference_is_the_classifier(asked, model_folder):
    import gatewise

    classifier = gatewise.load(model_folder)
    shown = [number for number, text in enumerate(asked.question.texts) if text]
    told = classifier.predict_proba([asked.question.texts[number] for number in shown])
    assert np.array_equal(asked.scores[shown], told)
    assert asked.question.labels == classifier.classes_
    assert len(asked.milliseconds) == 15


def test_the_ort_format_answers_the_same(parity, answers, asked):
    found = parity.in_onnxruntime.in_ort_format(asked.question)
    comparison = answers.compare(asked.question, asked.scores, found)
    assert comparison.differing == ()
    assert comparison.ids_differ is None


def test_texts_that_other_runtimes_cut_elsewhere_are_left_out(parity, model_folder, tmp_path):
    import shutil

    from gatewise.service.model.model_folder import (
        ModelFolder,
        read_model_folder,
        seal_model_folder,
        write_json,
    )

    folder = ModelFolder(shutil.copytree(model_folder, tmp_path / "model"))
    config = json.loads(folder.config.read_text(encoding="utf-8"))
    config["gatewise"]["tokens"]["keep"] = "both"
    write_json(folder.config, config)
    seal_model_folder(folder, read_model_folder(model_folder).manifest)
    asked = parity.in_onnxruntime.ask(folder.path, "fp32", ["short", "long " * 50])
    assert asked.question.texts == ["short"]
    assert asked.left_out == 1


def test_every_kind_of_text_is_there(benchmark_module, tmp_path):
    for name, rows in (("one", 300), ("two", 300), ("three", 30)):
        (tmp_path / name).mkdir()
        with (tmp_path / name / "train.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            writer.writerows([(f"{name} {row}", "a") for row in range(rows)])
    parity_texts, awkward = (benchmark_module(name) for name in ("parity_texts", "awkward"))
    texts = parity_texts.collect(tmp_path, 600)
    assert texts == parity_texts.collect(tmp_path, 600)
    assert len(texts) == 600
    drawn = {
        name: [text for text in texts if text.startswith(f"{name} ")] for name in ("one", "two")
    }
    assert len(drawn["one"]) == len(drawn["two"]) > 50
    assert sum(text.startswith("three ") for text in texts) == 30
    assert "" in texts
    assert max(map(len, texts)) == awkward.LONG == 100_000
    for kinds in awkward.KINDS.values():
        assert set(kinds) <= set(texts)
    "".join(texts).encode()  # no lone surrogate, which no file could hold
    found = {unicodedata.category(character) for text in texts[-100:] for character in text}
    assert len(found) > 20


def test_without_data_the_rest_is_random(benchmark_module):
    texts = benchmark_module("parity_texts").collect(None, 400)
    assert len(texts) == 400
    assert len(set(texts)) > 390


@pytest.fixture
def run(parity, same, model_folder, monkeypatch):
    """The command, with a runtime that answers what it is told to."""

    def answer(questions, modules):
        return [[same] for _ in questions]

    monkeypatch.setattr(parity.in_onnxruntime, "precisions", lambda _: ["fp32"])
    monkeypatch.setattr(parity.parity_texts, "collect", lambda *_: TEXTS)
    monkeypatch.setattr(parity.in_node, "ask", answer)
    monkeypatch.setattr(parity.in_chromium, "ask", lambda questions, _: [[] for _ in questions])
    app = Typer()
    app.command()(parity.main)
    return lambda *arguments: CliRunner().invoke(
        app, [str(model_folder), *arguments], catch_exceptions=False
    )


def test_the_table_has_a_row_for_each_runtime_and_precision(run, parity):
    result = run()
    assert result.exit_code == 0
    assert parity.HEAD in result.stdout
    assert "| another | fp32 | 4 | 0 | 0.0e+00 | 0 | 0 |" in result.stdout
    assert "| ORT format in Python onnxruntime | fp32 | 4 | given | 0.0e+00 | 0 | 0 |" in (
        result.stdout
    )


def test_a_difference_is_shown_and_fails(run, same):
    same.scores[3, 0] += 1
    same.ids[3] = [*same.ids[3][:2], 7]
    result = run()
    assert result.exit_code == 1
    (shown,) = [line for line in result.stdout.splitlines() if line.startswith("another, fp32")]
    assert "ids differ from place 2 on" in shown
    assert "scores by 1.0e+00" in shown
    assert ascii(TEXTS[3]) in shown


def test_one_text_is_timed_on_request(run):
    result = run("--latency")
    assert "| Python onnxruntime | fp32 |" in result.stdout
    assert "| another | fp32 | 2.000 | 1.000–3.000 |" in result.stdout


def test_json(run):
    document = json.loads(run("--json").stdout)
    assert document["tolerance"] == 1e-5
    assert [row["runtime"] for row in document["rows"]] == [
        "ORT format in Python onnxruntime",
        "another",
    ]
    assert document["rows"][1]["ids_differ"] == 0


def test_a_folder_that_is_none_is_one_line(run, parity, tmp_path):
    app = Typer()
    app.command()(parity.main)
    result = CliRunner().invoke(app, [str(tmp_path / "nothing")], catch_exceptions=False)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
