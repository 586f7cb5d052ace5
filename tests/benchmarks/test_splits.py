"""Every classifier is given the same split, which keeps the labels in proportion."""

from collections import Counter

import pytest
from gatewise.training.config import config
from gatewise.training.data import corpora as reading
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import read_rows
from gatewise.vocab.errors import CorpusError


@pytest.fixture(scope="module")
def splits(benchmark_module):
    return benchmark_module("splits")


@pytest.fixture(scope="module")
def whole(splits, weather):
    return splits.read(weather / "trec6")


def test_a_tenth_of_each_label_is_set_aside(whole):
    split = whole.split(1)
    assert Counter(whole.train.labels) == {"warm": 80, "cold": 40}
    assert Counter(split.validation.labels) == {"warm": 8, "cold": 4}
    assert Counter(split.train.labels) == {"warm": 72, "cold": 36}


def test_no_row_is_lost_or_used_twice(whole):
    split = whole.split(1)
    texts = [*split.train.texts, *split.validation.texts]
    assert sorted(texts) == sorted(whole.train.texts)
    assert not set(split.train.texts) & set(split.validation.texts)
    labels = dict(zip(whole.train.texts, whole.train.labels, strict=True))
    for part in (split.train, split.validation):
        assert [labels[text] for text in part.texts] == list(part.labels)
    assert split.test == whole.test


def test_the_seed_makes_the_split(whole):
    assert whole.split(1) == whole.split(1)
    assert whole.split(1).validation != whole.split(2).validation


def test_it_is_the_split_that_gatewise_makes(whole, weather, tmp_path):
    settings = config.load(assignments=["training.seed=2", "corpus.duplicates=ignore"])
    corpora = reading.Corpora(weather / "trec6" / "train.csv")
    rows = reading.read(corpora, settings, StopAtBadRows(), tmp_path)
    texts = [text for window in rows.validation.texts() for text in window]
    assert texts == list(whole.split(2).validation.texts)


def test_a_sets_own_validation_rows_are_used(splits, weather, tmp_path):
    folder = tmp_path / "sst2"
    folder.mkdir()
    for name, source in (("train", "train"), ("valid", "test"), ("test", "test")):
        contents = (weather / "trec6" / f"{source}.csv").read_bytes()
        (folder / f"{name}.csv").write_bytes(contents)
    whole = splits.read(folder)
    assert whole.split(1) == whole.split(2)
    assert whole.split(1).train == whole.train
    assert whole.split(1).validation == whole.validation


def test_one_file_is_split_the_same_way_for_every_seed(splits, weather, tmp_path, monkeypatch):
    monkeypatch.setattr(splits, "_NSMC_ROWS", (80, 40))
    folder = tmp_path / "nsmc"
    folder.mkdir()
    (folder / "all.csv").write_bytes((weather / "trec6" / "train.csv").read_bytes())
    whole = splits.read(folder)
    assert (len(whole.train.texts), len(whole.test.texts)) == (80, 40)
    assert not set(whole.train.texts) & set(whole.test.texts)
    assert splits.read(folder) == whole
    assert whole.split(1).test == whole.split(2).test


def test_a_missing_file_is_named(splits, tmp_path):
    with pytest.raises(CorpusError, match=r"expected train\.csv or train\.csv\.gz, found neither"):
        splits.read(tmp_path)


def test_gatewise_reads_what_the_others_are_given(splits, whole):
    split = whole.split(1)
    awkward = splits.Part(('a "quoted", text', "two\nlines"), ("warm", "cold"))
    given = splits.Split("trec6", awkward, split.validation, split.test)
    with splits.written(given) as corpora:
        for path, part in (
            (corpora.train, given.train),
            (corpora.validation, given.validation),
            (corpora.test, given.test),
        ):
            rows = list(read_rows(path, bad_rows=StopAtBadRows()))
            assert tuple(row.text for row in rows) == part.texts
            assert tuple(row.label for row in rows) == part.labels
    assert not corpora.train.exists()


def test_the_corpora_have_the_sets(splits, shared_data):
    for name in splits.SETS:
        assert (shared_data / name).is_dir()
    surnames = splits.read(shared_data / "surnames")
    assert (len(surnames.train.texts), len(surnames.test.texts)) == (18_046, 2_004)
