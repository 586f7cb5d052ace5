"""`gatewise vocab`: a dictionary and its coverage, from one reading of the corpus."""

import csv
import functools
import json

import pytest

from gatewise.vocab.tokenizer.tokenizer_json import parse_tokenizer

ROWS = [("one of the best films", "+"), ("", "-"), ("one of the worst", "-")] * 50


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "train.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *ROWS])
    return path


@pytest.fixture
def vocab(gatewise):
    return functools.partial(gatewise, "vocab")


@pytest.mark.parametrize("unit", ["word", "subword", "character", "ngram"])
def test_bad_row_is_rejected_once_and_no_text_is_counted_twice(vocab, corpus, tmp_path, unit):
    out, rejects = tmp_path / "tokenizer.json", tmp_path / "rejects.jsonl"
    ended = vocab(
        corpus, "--out", out, "--rejects", rejects, "--json", "--set", f"tokens.unit={unit}"
    )
    assert ended.code == 0, ended.stderr
    summary = json.loads(ended.stdout)
    assert (summary["texts"], summary["known"]) == (100, summary["tokens"])
    assert summary["share"] == 1
    assert parse_tokenizer(out.read_bytes()).get_vocab_size() == summary["size"]
    lines = [json.loads(line)["line"] for line in rejects.read_text().splitlines()]
    assert lines == list(range(3, 152, 3))
    assert sorted(tmp_path.iterdir()) == sorted([corpus, out, rejects])


@pytest.mark.parametrize("unit", ["word", "ngram"])
def test_bad_row_ends_it_and_leaves_nothing(vocab, corpus, tmp_path, unit):
    ended = vocab(corpus, "--out", tmp_path / "tokenizer.json", "--set", f"tokens.unit={unit}")
    assert ended.code == 1
    (line,) = ended.stderr.splitlines()
    assert "line 3: the text is missing; line 6: the text is missing" in line
    assert list(tmp_path.iterdir()) == [corpus]


def test_words_in_pieces_are_told(vocab, tmp_path):
    corpus = tmp_path / "train.csv"
    corpus.write_text("text,label\nlow low low slow slow lows slows,+\n", encoding="utf-8")
    options = (corpus, "--out", tmp_path / "v.json", "--set", "tokens.vocab_size=12")
    options += ("--set", "tokens.pieces=6")
    summary = json.loads(vocab(*options, "--json").stdout)
    # There is room for three words: slows is read as slow and ##s.
    counts = {name: summary[name] for name in ("size", "tokens", "known", "in_pieces")}
    assert counts == {"size": 12, "tokens": 7, "known": 6, "in_pieces": 1}
    assert "7 tokens of 1 texts; 14.29% are read as pieces of words\n" in vocab(*options).stdout
