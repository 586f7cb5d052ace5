"""The commands with a model that may give a text several labels, or none."""

import csv
import json

import pytest


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "test.csv"
    path.write_text("text,labels\nblue red,red|blue\ngrey,\ngreen,green\n", encoding="utf-8")
    return path


def test_predict_shows_the_labels_that_reach_their_thresholds(gatewise, multi_label_folder):
    texts = ("blue reddish", "green", "green green")
    code, stdout, _ = gatewise("predict", multi_label_folder, *texts)
    assert code == 0
    assert stdout.splitlines() == [
        "blue 0.9526  red 0.1192\tblue reddish",
        "-\tgreen",
        "green 0.9999\tgreen green",
    ]
    _, stdout, _ = gatewise("predict", multi_label_folder, *texts, "--json")
    predictions = [json.loads(line)["predictions"] for line in stdout.splitlines()]
    assert [[each["label"] for each in row] for row in predictions] == [
        ["blue", "red"],
        [],
        ["green"],
    ]


def test_predict_shows_the_best_when_asked_for_a_number(gatewise, multi_label_folder):
    _, stdout, _ = gatewise("predict", multi_label_folder, "green", "--top-k", "1")
    assert stdout == "green 0.9526\tgreen\n"


def test_evaluate_reports_on_several_labels(gatewise, multi_label_folder, corpus):
    code, stdout, _ = gatewise("evaluate", multi_label_folder, corpus, "--json")
    report = json.loads(stdout)
    assert code == 0
    assert (report["rows"], report["accuracy"]) == (3, 2 / 3)
    assert (report["macro_f1"], report["micro_f1"]) == (2 / 3, 0.8)
    assert [each["threshold"] for each in report["labels"]] == [0.5, 0.99, 0.1]
    _, stdout, _ = gatewise("evaluate", multi_label_folder, corpus)
    assert "subset accuracy 0.6667 (95% interval 0.2077 to 0.9385)  macro F1 0.6667" in stdout
    assert "micro F1 0.8000" in stdout
    assert "threshold" in stdout


def test_labels_that_the_model_lacks_count_as_errors(gatewise, multi_label_folder, tmp_path):
    path = tmp_path / "test.jsonl"
    path.write_text('{"text": "blue", "labels": "blue|cyan"}\n', encoding="utf-8")
    code, stdout, _ = gatewise("evaluate", multi_label_folder, path, "--json")
    report = json.loads(stdout)
    assert (code, report["rows"], report["accuracy"]) == (0, 1, 0)
    assert report["unknown_labels"] == {"cyan": 1}
    # One of the two labels is found.
    assert report["micro_f1"] == pytest.approx(2 / 3)


def test_score_writes_a_corpus_of_soft_labels(gatewise, multi_label_folder, corpus, tmp_path):
    from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
    from gatewise.vocab.corpus.columns import Columns
    from gatewise.vocab.corpus.corpus_reader import read_rows

    out = tmp_path / "scored.csv"
    code, stdout, _ = gatewise("score", multi_label_folder, corpus, "--out", out, "--probabilities")
    assert code == 0
    added = "columns predicted_labels and predicted_scores, and one of probability_ for each of 3"
    assert added in stdout
    with out.open(encoding="utf-8", newline="") as file:
        assert [row["predicted_labels"] for row in csv.DictReader(file)] == ["blue|red", "", ""]
    columns = Columns(probability_prefix="probability_")
    rows = list(read_rows(out, bad_rows=StopAtBadRows(), columns=columns))
    assert [row.labels for row in rows] == [("blue", "red"), (), ("green",)]
    assert rows[0].probabilities == pytest.approx((0.9526, 0.0474, 0.9526), abs=1e-4)


def test_inspect_tells_the_thresholds(gatewise, multi_label_folder):
    _, stdout, _ = gatewise("inspect", multi_label_folder)
    assert "multi_label_classification" in stdout
    assert "0.1000 to 0.9900" in stdout
