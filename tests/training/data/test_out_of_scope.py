"""Rows that have none of the labels: read, split, and made into what is learnt from."""

import csv

import numpy as np
import pytest

from gatewise.training.config import config
from gatewise.training.config.config import ConfigError
from gatewise.training.data import encoded_corpus
from gatewise.training.data.corpora import Corpora, read
from gatewise.training.data.encoded_corpus import encode_corpus, out_of_scope_repeats
from gatewise.vocab.corpus.bad_row_policy import BadRowsError, StopAtBadRows
from gatewise.vocab.errors import CorpusError
from gatewise.vocab.tokenizer.tokenizer import train_tokenizer

ROWS = [(f"text {number}", ("a", "b", "a", "oos")[number % 4]) for number in range(80)]
SETTINGS = ["reject.out_of_scope=oos", "corpus.duplicates=ignore"]


def write(path, rows, header=("text", "label")):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def encoded(folder, train, validation=None, settings=SETTINGS, **parts):
    corpora = Corpora(
        write(folder / "train.csv", train),
        write(folder / "validation.csv", validation) if validation else None,
        **{name: write(folder / f"{name}.csv", rows) for name, rows in parts.items()},
    )
    run = config.load(assignments=settings)
    (folder / "data").mkdir(exist_ok=True)
    rows = read(corpora, run, StopAtBadRows(), folder / "data")
    tokenizer = train_tokenizer(row.text for row in rows.train)
    return encode_corpus(rows, tokenizer, run, StopAtBadRows(), folder / "data")


def test_the_model_has_no_such_label(tmp_path):
    found = encoded(tmp_path, ROWS, test=[("x", "oos"), ("y", "a")])
    assert found.rows.labels.names == ("a", "b")
    assert [row.labels for row in found.rows.test] == [(), ("a",)]
    # A share of them is set aside too.
    assert [
        sum(not row.labels for row in part) for part in (found.rows.train, found.rows.validation)
    ] == [18, 2]


def test_their_target_is_every_label_alike(tmp_path):
    found = encoded(tmp_path, ROWS, [("text", "a"), ("more", "oos"), ("other", "b")])
    targets = found.train.targets(np.arange(len(found.train)))
    assert sorted(map(tuple, targets.tolist())) == sorted(
        [(1.0, 0.0)] * 40 + [(0.0, 1.0)] * 20 + [(0.5, 0.5)] * 20
    )
    # The epoch is chosen by rows that have a label.
    assert found.validation.examples.targets(np.arange(2)).tolist() == [0, 1]
    assert (len(found.validation.examples), len(found.validation)) == (2, 3)


@pytest.mark.parametrize(
    ("inside", "outside", "expected"), [(60, 20, 1), (60, 2, 3), (200, 1, 10), (60, 0, 0)]
)
def test_a_few_are_learnt_from_more_often(tmp_path, inside, outside, expected):
    rows = [(f"text {number}", "ab"[number % 2]) for number in range(inside)]
    rows += [(f"other {number}", "oos") for number in range(outside)]
    validation = [("text", "a"), ("other", "oos")]
    found = encoded(tmp_path, rows, validation)
    assert out_of_scope_repeats(found.rows.train) == expected
    assert len(found.train) == inside + outside * expected
    targets = found.train.targets(np.arange(len(found.train)))
    assert targets.ndim == (2 if outside else 1)


def test_the_digest_counts_each_row_once(tmp_path):
    validation = [("text", "a"), ("other", "oos")]
    first = encoded(tmp_path, ROWS, validation).train_sha256
    changed = [*ROWS[:-1], (ROWS[-1][0], "a")]
    assert first != encoded(tmp_path, changed, validation).train_sha256
    renamed = [(text, "other" if label == "oos" else label) for text, label in ROWS]
    settings = ["reject.out_of_scope=other", "corpus.duplicates=ignore"]
    found = encoded(tmp_path, renamed, [("text", "a"), ("x", "other")], settings)
    assert found.train_sha256 == first


def test_windows_make_no_difference(tmp_path, monkeypatch):
    whole = encoded(tmp_path, ROWS).train
    rows = np.arange(len(whole))
    expected, lengths = whole.targets(rows).tolist(), whole.lengths(rows).tolist()
    monkeypatch.setattr(encoded_corpus, "_WINDOW", 3)
    parts = encoded(tmp_path, ROWS).train
    assert parts.targets(rows).tolist() == expected
    assert parts.lengths(rows).tolist() == lengths


def test_rows_to_choose_by_are_needed(tmp_path):
    inside = [("text", "a"), ("other", "b")]
    with pytest.raises(
        CorpusError, match="expected validation rows with the label 'oos' to choose"
    ):
        encoded(tmp_path, ROWS, inside)
    found = encoded(tmp_path, ROWS, inside, [*SETTINGS, "reject.target_precision=0.9"])
    assert found.train.classes == 2
    misspelt = ["reject.out_of_scope=ooss", "reject.target_precision=0.9"]
    with pytest.raises(CorpusError, match="training or validation rows with the label 'ooss'"):
        encoded(tmp_path, ROWS, settings=misspelt)


def test_rows_to_learn_from_are_not(tmp_path):
    inside = [row for row in ROWS if row[1] != "oos"]
    found = encoded(tmp_path, inside, [("text", "a"), ("other", "oos")])
    assert found.train.classes == 0


def test_rows_of_a_label_are_needed_to_choose_an_epoch_by(tmp_path):
    with pytest.raises(CorpusError, match="validation rows: expected rows with one of the labels"):
        encoded(tmp_path, ROWS, [("other", "oos")])


def test_without_the_setting_it_is_a_label_as_any_other(tmp_path):
    found = encoded(tmp_path, ROWS, settings=["corpus.duplicates=ignore"])
    assert found.rows.labels.names == ("a", "b", "oos")
    inside = [row for row in ROWS if row[1] != "oos"]
    with pytest.raises(BadRowsError, match="label 'oos' was never seen in training"):
        encoded(tmp_path, inside, [("x", "oos")], ["reject.target_precision=0.9"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["corpus.task=multi_label", *SETTINGS], "received one with several"),
        (["corpus.task=multi_label", "reject.target_precision=0.9"], "received one with several"),
        (["training.sampling=balanced", *SETTINGS], "training.sampling=balanced: expected one of"),
        ([*SETTINGS, "reject.label=a"], "reject.label=a: expected a name that no label has"),
        (["reject.target_precision=0.9", "reject.label=b"], "reject.label=b: expected a name"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        encoded(tmp_path, ROWS, settings=settings)


def test_soft_labels_tell_of_no_such_row(tmp_path):
    rows = [("x", 0.5, 0.5), ("y", 1, 0)]
    corpus = write(tmp_path / "soft.csv", rows, ("text", "p_a", "p_b"))
    run = config.load(assignments=[*SETTINGS, "corpus.probability_prefix=p_"])
    with pytest.raises(ConfigError, match="received one of soft labels"):
        read(Corpora(corpus), run, StopAtBadRows(), tmp_path)
