"""`gatewise label` and `gatewise.label`: texts become a corpus with labels and probabilities."""

import json
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

import gatewise as package
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.columns import Columns
from gatewise.vocab.corpus.corpus_reader import read_rows
from gatewise.vocab.errors import GatewiseError

TRUTH = {"bread": "food", "a train": "travel", "cash": "money"}
LABELS = ("--labels", "food, travel,money")
QUOTA = (402, {}, json.dumps({"error": {"message": "Pay first"}}))


@pytest.fixture(autouse=True)
def _truthful(endpoint):
    endpoint.answers = lambda text: TRUTH.get(text, "I cannot say.")


@pytest.fixture
def lines(tmp_path):
    """A file of texts, one a line, one of which gets no label."""
    file = tmp_path / "texts.txt"
    file.write_text("bread\na train\nbread\nzzz\ncash\n", encoding="utf-8")
    return file


def test_a_corpus_is_written_that_can_be_trained_on(gatewise, endpoint, lines, tmp_path):
    endpoint.answers = lambda text: (
        {"food": 0.75, "travel": 0.25} if text == "bread" else TRUTH.get(text, "?")
    )
    out = tmp_path / "labelled.csv"
    code, stdout, stderr = gatewise(
        "label", lines, *LABELS, "--teacher", endpoint.url, "--out", out
    )
    assert code == 0, stderr
    assert stdout.splitlines() == [
        "5 texts labelled: food 2, money 1, travel 1, no label 1",
        f"written to {out}",
    ]
    assert "4 texts to label that it has not answered before: about" in stderr
    assert "5 requests, 500 tokens read and 10 written; 1 texts got no label" in stderr
    assert out.read_text(encoding="utf-8").splitlines() == [
        "text,label,probability_food,probability_money,probability_travel",
        "bread,food,0.75,0.0,0.25",
        "a train,travel,0.0,0.0,1.0",
        "bread,food,0.75,0.0,0.25",
        "zzz,,,,",
        "cash,money,0.0,1.0,0.0",
    ]
    assert {path.name for path in tmp_path.iterdir()} == {
        *("texts.txt", "labelled.csv", "labelled.csv.teacher"),
    }


@pytest.mark.parametrize("prefix", [None, "probability_"])
def test_rejected_texts_are_not_in_the_corpus(gatewise, endpoint, lines, tmp_path, prefix):
    out, rejects = tmp_path / "labelled.jsonl", tmp_path / "rejects.jsonl"
    lines.write_text("bread\n \nzzz\ncash\n", encoding="utf-8")
    command = ("label", lines, *LABELS, "--teacher", endpoint.url, "--out", out)
    code, _, stderr = gatewise(*command, "--rejects", rejects)
    assert code == 0, stderr
    rejected = [json.loads(line) for line in rejects.read_text(encoding="utf-8").splitlines()]
    assert [(row["line"], row["content"]) for row in rejected][-1] == (3, "zzz")
    assert rejected[-1]["reason"] == "the teacher gave the text no label"
    columns = Columns(probability_prefix=prefix)
    rows = list(read_rows(out, bad_rows=StopAtBadRows(), columns=columns))
    assert [(row.text, row.label) for row in rows] == [("bread", "food"), ("cash", "money")]


def test_a_run_that_was_stopped_pays_nothing_twice(gatewise, endpoint, lines, tmp_path):
    texts = [f"bread {number}" for number in range(30)]
    endpoint.answers = lambda _: "food"
    lines.write_text("\n".join(texts), encoding="utf-8")
    out = tmp_path / "labelled.parquet"
    command = ("label", lines, *LABELS, "--teacher", endpoint.url, "--out", out)
    endpoint.faults = [None] * 12 + [QUOTA] * 60
    code, stdout, stderr = gatewise(*command)
    assert (code, stdout) == (1, "")
    assert "exhausted: Pay first. What it answered for 12 texts is kept in" in stderr
    assert "12 requests, 1,200 tokens read" in stderr
    assert not out.exists()
    endpoint.faults, endpoint.requests = [], []
    code, _, stderr = gatewise(*command)
    assert code == 0, stderr
    assert "18 texts to label that it has not answered before" in stderr
    assert len(endpoint.requests) == 18
    table = pq.read_table(out)
    assert table.column_names[:2] == ["text", "label"]
    assert table["text"].to_pylist() == texts


def test_labels_of_a_list_in_python(endpoint, tmp_path):
    found = package.label(
        np.array(["bread", "zzz", "cash"]),
        ["travel", "food", "money"],
        teacher=endpoint.url,
        cache=tmp_path / "answers",
        descriptions={"food": "what one eats"},
        progress=False,
    )
    assert found.texts == ("bread", "zzz", "cash")
    assert found.classes == ("food", "money", "travel")
    assert found.labels == ("food", None, "money")
    assert np.isnan(found.probabilities[1]).all()
    assert found.probabilities[[0, 2]].tolist() == [[1, 0, 0], [0, 1, 0]]
    assert found.counts == {"food": 1, "money": 1, "travel": 0, None: 1}
    assert "1. food: what one eats\n" in endpoint.requests[0]["messages"][0]["content"]


def test_a_model_folder_labels_too(gatewise, model_folder, tmp_path):
    lines, out = tmp_path / "texts.txt", tmp_path / "labelled.csv"
    lines.write_text("Wo ist der Bahnhof?\nWhere is the station?\n", encoding="utf-8")
    model = package.load(model_folder)
    names = ",".join(model.classes_)
    command = ("label", lines, "--labels", names, "--teacher", model_folder, "--out", out)
    code, _, stderr = gatewise(*command)
    assert code == 0, stderr
    rows = list(read_rows(out, bad_rows=StopAtBadRows()))
    assert [row.label for row in rows] == model.predict([row.text for row in rows])


def test_what_cannot_label_is_refused(refused, endpoint, lines, tmp_path):
    out = ("--out", tmp_path / "labelled.csv")
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    url = ("--teacher", endpoint.url)
    for options, message in {
        (*LABELS, "--teacher", encoder): "an encoder has no labels of its own, it learns them",
        ("--labels", "food", *url): "expected the names of two labels or more, received ['food']",
        ("--labels", "food,,travel", *url): "expected the names of two labels or more",
        (*LABELS, "--teacher", "http://"): "expected a base URL such as",
        (*LABELS, *url, "--set", "teacher.descriptions={spam='x'}"): "received one of 'spam'",
        (*LABELS, *url, "--set", "teacher.prompt=What is it?"): "expected {text} where the text",
        (
            *(*LABELS, *url, "--set", "teacher.descriptions={food='x'}"),
            *("--set", "teacher.prompt={text}?"),
        ): "expected {labels} in teacher.prompt",
        (*LABELS, *url, "--text-column", "body"): "no column 'body'",
        (*LABELS, *url, "--rejects", lines): "it would overwrite",
    }.items():
        assert message in refused("label", lines, *options, *out)
    assert not endpoint.requests
    assert not (tmp_path / "labelled.csv").exists()


@pytest.mark.parametrize(
    ("texts", "labels", "settings", "message"),
    [
        (["a"], "ham,spam", {}, "labels: expected a sequence of strings"),
        ("a,b", ["ham", "spam"], {}, "a,b"),
        ([], ["ham", "spam"], {"cache": "x"}, "rows: holds no rows"),
        (["a"], ["ham", "spam"], {}, "teacher.cache: expected a folder in which the answers"),
        (["a"], ["ham", "spam"], {"teacher": {}}, "teacher: expected one teacher"),
        ([None], ["ham", "spam"], {"cache": "x"}, "position 0: the text is missing"),
    ],
)
def test_arguments_that_cannot_be_used(endpoint, texts, labels, settings, message):
    with pytest.raises(GatewiseError, match=message):
        package.label(texts, labels, progress=False, **{"teacher": endpoint.url, **settings})
    assert not endpoint.requests


def test_the_time_is_bounded_and_what_was_answered_is_kept(
    refused, endpoint, gatewise, lines, tmp_path
):
    command = ("label", lines, *LABELS, "--teacher", endpoint.url, "--out", tmp_path / "a.csv")
    code, stdout, stderr = gatewise(*command, "--set", "teacher.minutes=1e-9")
    assert (code, stdout) == (1, "")
    assert "teacher.minutes=1e-09: expected time for 5 texts, received it for 0" in stderr
    assert not (tmp_path / "a.csv").exists()
    code, _, stderr = gatewise(*command, "--set", "teacher.minutes=60")
    assert code == 0, stderr


def test_a_package_that_is_missing_is_named_before_texts_are_read(refused, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "httpx", None)
    monkeypatch.delitem(sys.modules, "gatewise.training.teacher.chat_endpoint", raising=False)
    texts = tmp_path / "texts.jsonl"
    texts.write_text('{"text": "bread"}\n{"text": 1}\n', encoding="utf-8")
    command = ("label", texts, *LABELS, "--teacher", "http://127.0.0.1:9/v1", "--out")
    assert "gatewise[teacher]" in refused(*command, tmp_path / "a.csv")


@pytest.mark.parametrize("is_endpoint", [True, False])
def test_an_interrupted_command_says_only_what_is_true(
    gatewise, endpoint, model_folder, lines, tmp_path, monkeypatch, is_endpoint
):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(package, "label", interrupted)
    teacher = endpoint.url if is_endpoint else model_folder
    out = tmp_path / "a.csv"
    _, _, stderr = gatewise("label", lines, *LABELS, "--teacher", teacher, "--out", out)
    assert ("kept for the next run" in stderr) == is_endpoint
