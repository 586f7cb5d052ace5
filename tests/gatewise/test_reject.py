"""The commands with a model that may give a text none of its labels."""

import csv
import json

import pytest

SURE, UNSURE = "Bitte geben Sie eine gültige Adresse ein.", "1 2"


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "test.csv"
    rows = [(SURE, "de"), (UNSURE, "en"), (UNSURE, "other"), (SURE, "other"), (UNSURE, "other")]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def test_predict_shows_what_is_given_instead(gatewise, rejecting_folder):
    code, stdout, _ = gatewise("predict", rejecting_folder, SURE, UNSURE)
    assert code == 0
    sure, unsure = stdout.splitlines()
    assert sure.startswith("de ")
    assert unsure.startswith("no language 0.")
    _, stdout, _ = gatewise("predict", rejecting_folder, UNSURE, "--json")
    (prediction,) = json.loads(stdout)["predictions"]
    assert prediction["label"] == "no language"
    _, stdout, _ = gatewise("predict", rejecting_folder, UNSURE, "--json", "--top-k", "9")
    first, second, *others = json.loads(stdout)["predictions"]
    assert first == prediction
    assert second["score"] == prediction["score"]
    assert len(others) == 4


def test_evaluate_counts_rows_in_and_out_of_scope(gatewise, rejecting_folder, corpus):
    code, stdout, _ = gatewise("evaluate", rejecting_folder, corpus, "--json")
    report = json.loads(stdout)
    assert code == 0
    assert (report["rows"], report["accuracy"]) == (2, 0.5)
    assert (report["answered"], report["accuracy_answered"]) == (0.5, 1.0)
    assert (report["out_of_scope_rows"], report["out_of_scope_recall"]) == (3, 2 / 3)
    _, stdout, _ = gatewise("evaluate", rejecting_folder, corpus)
    line = "answered 0.5000  accuracy of answers 1.0000  out of scope recall 0.6667"
    assert f"{line}  out of scope rows 3" in stdout


def test_a_corpus_may_hold_nothing_else_than_rows_out_of_scope(
    gatewise, rejecting_folder, tmp_path
):
    path = tmp_path / "other.csv"
    path.write_text(f"text,label\n{UNSURE},other\n", encoding="utf-8")
    code, stdout, _ = gatewise("evaluate", rejecting_folder, path, "--json")
    report = json.loads(stdout)
    assert (code, report["rows"], report["out_of_scope_recall"]) == (0, 0, 1.0)
    path.write_text(f"text,label\n{UNSURE},another\n", encoding="utf-8")
    code, stdout, _ = gatewise("evaluate", rejecting_folder, path, "--json")
    report = json.loads(stdout)
    # A text with an unknown label is in scope: no label is a wrong answer to it.
    assert (code, report["rows"], report["accuracy"]) == (0, 1, 0)
    assert report["unknown_labels"] == {"another": 1}


def test_score_writes_it_as_a_label(gatewise, rejecting_folder, corpus, tmp_path):
    out = tmp_path / "scored.jsonl"
    assert gatewise("score", rejecting_folder, corpus, "--out", out)[0] == 0
    lines = out.read_text(encoding="utf-8").splitlines()
    given = [json.loads(line)["predicted_label"] for line in lines]
    assert given == ["de", "no language", "no language", "de", "no language"]


def test_inspect_tells_the_threshold(gatewise, rejecting_folder):
    _, stdout, _ = gatewise("inspect", rejecting_folder)
    assert "a text is given: no language" in stdout
    _, stdout, _ = gatewise("inspect", rejecting_folder, "--json")
    reject = json.loads(stdout)["config"]["gatewise"]["reject"]
    assert (reject["label"], reject["out_of_scope"]) == ("no language", "other")
