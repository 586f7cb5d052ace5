"""Published corpora through the command, where they are at hand beside the checkout."""

import json
import subprocess
import sys

from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import read_rows


def gatewise(*arguments):
    command = [sys.executable, "-m", "gatewise", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=True, encoding="utf-8").stdout


def test_question_types_are_learnt_from_words(shared_data, tmp_path):
    trec = shared_data / "trec6"
    out = tmp_path / "model"
    gatewise("train", trec / "train.csv", "--out", out, "--set", "training.epochs=4")
    metrics = json.loads(gatewise("evaluate", out, trec / "test.csv", "--json"))
    assert metrics["rows"] == 500
    assert metrics["accuracy"] > 0.8
    assert metrics["ece"] < 0.15
    strange = [
        "xqzv jkwpl qqzrt",
        "Wo ist der Bahnhof?",
        "最寄りの駅",
        "!!!! ????",
        "12 34",
        "z" * 60,
    ]
    answers = gatewise("predict", out, *strange, "--json").splitlines()
    best = [json.loads(answer)["predictions"][0]["score"] for answer in answers]
    assert len(best) == len(strange)
    assert max(best) < 0.99


def test_headlines_without_spaces_are_learnt_from_words_too(shared_data, tmp_path):
    news = shared_data / "thucnews"
    out = tmp_path / "model"
    gatewise("train", news / "train.csv", "--out", out, "--set", "training.epochs=3")
    metrics = json.loads(gatewise("evaluate", out, news / "test.csv", "--json"))
    assert metrics["accuracy"] > 0.75


def test_every_row_of_a_large_compressed_corpus_is_read(shared_data):
    rows = list(read_rows(shared_data / "imdb" / "train.csv.gz", bad_rows=StopAtBadRows()))
    assert len(rows) == 25_000
    assert {row.label for row in rows} == {"neg", "pos"}
