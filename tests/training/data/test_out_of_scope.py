"""Rows out of scope, which have none of the labels: read, split, and encoded as targets."""

import numpy as np
import pytest

from gatewise.training.config import config
from gatewise.training.config.config import ConfigError
from gatewise.training.data import encoded_corpus
from gatewise.training.data.corpora import Corpora, read
from gatewise.training.data.encoded_corpus import encode_corpus, out_of_scope_repeats
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.errors import CorpusError
from gatewise.vocab.tokenizer.tokenizer import train_tokenizer

ROWS = [(f"text {number}", ("a", "b", "a", "oos")[number % 4]) for number in range(80)]
INSIDE = [row for row in ROWS if row[1] != "oos"]
SETTINGS = ["reject.out_of_scope=oos", "corpus.duplicates=ignore"]


@pytest.fixture
def encoded(tmp_path, write_csv):
    """Writes corpora and encodes them."""

    def encode(train, validation=None, settings=SETTINGS, **parts):
        corpora = Corpora(
            write_csv(tmp_path / "train.csv", train),
            write_csv(tmp_path / "validation.csv", validation) if validation else None,
            **{name: write_csv(tmp_path / f"{name}.csv", rows) for name, rows in parts.items()},
        )
        run = config.load(assignments=settings)
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        rows = read(corpora, run, StopAtBadRows(), folder)
        tokenizer = train_tokenizer(row.text for row in rows.train)
        return encode_corpus(rows, tokenizer, run, StopAtBadRows(), folder)

    return encode


def test_the_model_has_no_such_label(encoded):
    found = encoded(ROWS, test=[("x", "oos"), ("y", "a")])
    assert found.rows.labels.names == ("a", "b")
    assert [row.labels for row in found.rows.test] == [(), ("a",)]
    # A share of them is held out too.
    assert [
        sum(not row.labels for row in part) for part in (found.rows.train, found.rows.validation)
    ] == [18, 2]


def test_their_target_is_every_label_alike(encoded):
    found = encoded(ROWS, [("text", "a"), ("more", "oos"), ("other", "b")])
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
def test_a_few_are_learnt_from_more_often(encoded, inside, outside, expected):
    rows = [(f"text {number}", "ab"[number % 2]) for number in range(inside)]
    rows += [(f"other {number}", "oos") for number in range(outside)]
    validation = [("text", "a"), ("other", "oos")]
    found = encoded(rows, validation)
    assert out_of_scope_repeats(found.rows.train) == expected
    assert len(found.train) == inside + outside * expected
    targets = found.train.targets(np.arange(len(found.train)))
    assert targets.ndim == (2 if outside else 1)


def test_the_digest_counts_each_row_once(encoded):
    validation = [("text", "a"), ("other", "oos")]
    first = encoded(ROWS, validation).train_sha256
    changed = [*ROWS[:-1], (ROWS[-1][0], "a")]
    assert first != encoded(changed, validation).train_sha256
    renamed = [(text, "other" if label == "oos" else label) for text, label in ROWS]
    settings = ["reject.out_of_scope=other", "corpus.duplicates=ignore"]
    found = encoded(renamed, [("text", "a"), ("x", "other")], settings)
    assert found.train_sha256 == first


def test_windows_make_no_difference(encoded, monkeypatch):
    whole = encoded(ROWS).train
    rows = np.arange(len(whole))
    expected, lengths = whole.targets(rows).tolist(), whole.lengths(rows).tolist()
    monkeypatch.setattr(encoded_corpus, "_WINDOW", 3)
    parts = encoded(ROWS).train
    assert parts.targets(rows).tolist() == expected
    assert parts.lengths(rows).tolist() == lengths


def test_rows_to_choose_by_are_needed(encoded):
    inside = [("text", "a"), ("other", "b")]
    with pytest.raises(
        CorpusError, match="expected validation rows with the label 'oos' to choose"
    ):
        encoded(ROWS, inside)
    found = encoded(ROWS, inside, [*SETTINGS, "reject.target_precision=0.9"])
    assert found.train.classes == 2
    # Rows to learn from are not needed.
    assert encoded(INSIDE, [*inside, ("more", "oos")]).train.classes == 0
    with pytest.raises(CorpusError, match="validation rows: expected rows with one of the labels"):
        encoded(ROWS, [("other", "oos")])
    misspelt = ["reject.out_of_scope=ooss", "reject.target_precision=0.9"]
    with pytest.raises(CorpusError, match="training or validation rows with the label 'ooss'"):
        encoded(ROWS, settings=misspelt)


def test_without_the_setting_it_is_a_label_as_any_other(encoded):
    found = encoded(ROWS, settings=["corpus.duplicates=ignore"])
    assert found.rows.labels.names == ("a", "b", "oos")
    with pytest.raises(CorpusError, match="no row has a label of"):
        encoded(INSIDE, [("x", "oos")], ["reject.target_precision=0.9"])


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
def test_what_makes_no_sense_is_refused(encoded, settings, message):
    with pytest.raises(ConfigError, match=message):
        encoded(ROWS, settings=settings)


def test_soft_labels_have_no_such_row(tmp_path, write_csv):
    corpus = write_csv(
        tmp_path / "soft.csv", [("x", 0.5, 0.5), ("y", 1, 0)], ("text", "p_a", "p_b")
    )
    run = config.load(assignments=[*SETTINGS, "corpus.probability_prefix=p_"])
    with pytest.raises(ConfigError, match="received one of soft labels"):
        read(Corpora(corpus), run, StopAtBadRows(), tmp_path)
