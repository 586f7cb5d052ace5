import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewise.training.config import config
from gatewise.training.data.corpora import Corpora, read, split
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.errors import CorpusError

CONFIG = config.load()


def keys_of(labels):
    return np.array([ord(label) for label in labels], dtype=np.int32)


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60), st.integers(0, 5))
def test_a_split_keeps_a_row_of_every_label_for_training(labels, seed):
    aside = split(keys_of(labels), 0.2, seed)
    assert aside.shape == (len(labels),)
    assert {label for label, out in zip(labels, aside, strict=True) if not out} == set(labels)
    assert (split(keys_of(labels), 0.2, seed) == aside).all()


def test_a_split_of_few_rows_a_label_holds_out_no_more_than_the_share():
    labels = [chr(100 + number) for number in range(30) for _ in range(2)]
    aside = split(keys_of(labels), 0.1, seed=1)
    assert aside.sum() == 6
    assert len(set(np.array(labels)[aside])) == 6
    # Among labels with many rows, one of a rare label costs little.
    labels = ["a"] * 100 + ["b"] * 100 + ["c"] * 2
    assert split(keys_of(labels), 0.1, seed=1)[-2:].sum() == 1


def test_folds_hold_every_row_out_once():
    keys = keys_of(["a"] * 20 + ["b"] * 10)
    folds = np.array([split(keys, 0.2, seed=1, fold=fold) for fold in range(5)])
    assert (folds.sum(axis=0) == 1).all()
    assert (folds.sum(axis=1) == 6).all()
    assert (split(keys, 0.2, seed=1, fold=5) == folds[0]).all()


def test_a_split_sets_the_same_share_of_each_label_aside():
    labels = ["a"] * 100 + ["b"] * 50 + ["c"]
    aside = split(keys_of(labels), 0.1, seed=1)
    counted = [int(aside[keys_of(labels) == ord(name)].sum()) for name in "abc"]
    assert counted == [10, 5, 0]
    assert (split(keys_of(labels), 0.1, seed=2) != aside).any()


def rows_of(folder, corpora, *settings):
    folder.mkdir(exist_ok=True)
    return read(corpora, config.load(assignments=settings), StopAtBadRows(), folder)


def texts(stored):
    return [row.text for row in stored]


def test_corpora_of_other_dialects_are_read_and_noted(tmp_path, write_csv):
    train = write_csv(tmp_path / "train.csv", [(f"für {i}; ja", "ab"[i % 2]) for i in range(20)])
    train.write_bytes(train.read_text("utf-8").replace(",", "\t").encode("cp1252"))
    test = write_csv(tmp_path / "test.csv", [("grün", "a")])
    rows = rows_of(tmp_path / "data", Corpora(train, test=test))
    assert sorted(texts(rows.train))[0] == "für 0; ja"
    assert texts(rows.test) == ["grün"]
    assert rows.notes == (
        f"{train}: read with the encoding cp1252 and the delimiter tab, found in its first bytes",
    )
    settings = ("corpus.delimiter=tab", "corpus.encoding=cp1252")
    assert rows_of(tmp_path / "data", Corpora(train), *settings).notes == ()


def write_splits(folder, **splits):
    """A folder of the Hub with a Parquet file for each split, of labels as numbers."""
    features = {"label": {"names": ["a", "b"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    folder.mkdir()
    for name, numbers in splits.items():
        made = pa.table({"text": [f"{name} {i}" for i in range(len(numbers))], "label": numbers})
        path = folder / f"{name}-00000-of-00001.parquet"
        pq.write_table(made.replace_schema_metadata(metadata), path)
    return folder


def test_the_splits_of_a_data_set_are_used_as_such(tmp_path, write_csv):
    folder = write_splits(tmp_path / "set", train=[0, 1, 0], validation=[1, 0], test=[0])
    rows = rows_of(tmp_path / "data", Corpora(folder))
    assert texts(rows.train) == ["train 0", "train 1", "train 2"]
    assert [row.label for row in rows.validation] == ["b", "a"]
    assert texts(rows.test) == ["test 0"]
    assert rows.notes == (f"{folder}: its splits are used as such: train, validation, test",)
    other = write_csv(tmp_path / "other.csv", [("mine", "a")])
    rows = rows_of(tmp_path / "data", Corpora(folder, validation=other, test=other))
    assert texts(rows.validation) == texts(rows.test) == ["mine"]


def test_a_test_split_without_labels_is_left_out(tmp_path):
    folder = write_splits(tmp_path / "set", train=[0, 1] * 9, test=[-1, -1])
    rows = rows_of(tmp_path / "data", Corpora(folder))
    assert rows.test is None
    assert len(rows.validation) == 2
    assert rows.notes == (
        f"{folder}: its splits are used as such: train",
        f"{folder}: its split test has no labels and is left out",
    )


@pytest.mark.parametrize(
    ("header", "train", "test", "is_read"),
    [
        (("text", "label"), ["-1", "0", "1"], ["-1"], True),
        (("text", "label"), ["0", "1"], ["-1"], False),
        (("text", "label"), ["0", "1"], [""], False),
        (("text", "labels"), ["0", "0|1"], [""], True),
        (("text", "value"), ["-1", "0.5", "1"], ["-1"], True),
        (("text", "value"), ["-1", "0.5", "1"], [""], False),
    ],
)
def test_minus_one_is_a_label_where_training_rows_have_it(
    tmp_path, write_csv, header, train, test, is_read
):
    folder = tmp_path / "set"
    folder.mkdir()
    rows = [(f"text {number}", label) for number, label in enumerate(train * 10)]
    write_csv(folder / "train.csv", rows, header)
    write_csv(folder / "test.csv", [("x", label) for label in test], header)
    rows = rows_of(tmp_path / "data", Corpora(folder))
    assert (rows.test is not None) == is_read


def test_hidden_labels_beside_a_column_of_numbers_are_left_out(tmp_path):
    folder = write_splits(tmp_path / "set", train=[0, 1] * 9, test=[-1, -1])
    for path in folder.iterdir():
        table = pq.read_table(path)
        pq.write_table(table.append_column("value", pa.array([0.5] * len(table))), path)
    rows = rows_of(tmp_path / "data", Corpora(folder))
    assert rows.test is None
    assert rows.labels.names == ("a", "b")


def test_what_is_made_of_a_column_called_value_is_told(tmp_path, write_csv):
    rows = [(f"text {number}", number % 3) for number in range(30)]
    train = write_csv(tmp_path / "train.csv", rows, ("text", "value"))
    found = rows_of(tmp_path / "data", Corpora(train))
    assert found.task == "regression"
    (note,) = found.notes
    assert "'value' is read as numbers to predict" in note
    found = rows_of(tmp_path / "data", Corpora(train), "corpus.label_column=value")
    assert found.labels.names == ("0", "1", "2")
    (note,) = found.notes
    assert "'value' is read as labels, because it was named" in note
    for task in ("regression", "single_label"):
        settings = ("corpus.label_column=value", f"corpus.task={task}")
        assert rows_of(tmp_path / "data", Corpora(train), *settings).notes == ()


def test_equal_texts_with_other_numbers_contradict_each_other(tmp_path, write_csv):
    rows = [(f"text {number}", number) for number in range(30)]
    rows += [("text 3", 3), ("text 4", 40)]
    train = write_csv(tmp_path / "train.csv", rows, ("text", "value"))
    found = rows_of(tmp_path / "data", Corpora(train))
    assert found.duplicates.conflicting == 2
    assert {row.targets for copy in found.copies[:1] for row in copy.rows} == {("4.0",), ("40.0",)}


def test_the_parts_hold_the_rows_in_their_order(tmp_path, write_csv):
    train = write_csv(tmp_path / "train.csv", [(f"text {i}", "ab"[i % 2]) for i in range(50)])
    test = write_csv(tmp_path / "test.csv", [("x", "a"), ("y", "b"), ("z", "a")])
    rows = rows_of(tmp_path / "data", Corpora(train, test=test))
    assert rows.labels.names == ("a", "b")
    assert not rows.multi_label
    assert texts(rows.test) == ["x", "y", "z"]
    assert len(rows.validation) == 4  # a tenth of 25 rows of each label, rounded to even
    numbers = [int(text.split()[1]) for text in [*texts(rows.train), *texts(rows.validation)]]
    assert sorted(numbers) == list(range(50))
    assert numbers[: len(rows.train)] == sorted(numbers[: len(rows.train)])
    assert list(rows.parts()) == ["train", "validation", "test"]
    rows = rows_of(tmp_path / "data", Corpora(train))
    assert rows.test is None
    assert list(rows.parts()) == ["train", "validation"]


def test_several_labels_are_split_by_the_rarest(tmp_path):
    lines = [{"text": f"text {i}", "labels": ["all"] + ["few"] * (i < 20)} for i in range(200)]
    lines.append({"text": "none", "labels": []})
    train = tmp_path / "train.jsonl"
    train.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    rows = rows_of(tmp_path / "data", Corpora(train))
    assert rows.multi_label
    assert rows.labels.names == ("all", "few")
    assert sum("few" in row.labels for row in rows.validation) == 2
    assert len(rows.validation) == 20


def test_the_task_of_training_is_that_of_the_other_corpora(tmp_path, write_csv):
    header = ("text", "labels")
    rows = [(f"text {i}", "a|b") for i in range(20)]
    train = write_csv(tmp_path / "train.csv", rows, header)
    test = write_csv(tmp_path / "test.csv", [("x", "b|a")], header)
    rows = rows_of(tmp_path / "data", Corpora(train, test=test))
    assert [row.labels for row in rows.test] == [("a", "b")]
    with pytest.raises(config.ConfigError, match=r"set training\.class_weights=balanced instead"):
        rows_of(tmp_path / "data", Corpora(train), "training.sampling=balanced")


def test_soft_labels_name_the_labels_even_one_that_no_text_is_most_likely_of(tmp_path, write_csv):
    soft = write_csv(
        tmp_path / "train.csv",
        [(f"text {i}", 0.5 + 0.1 * (i % 2), 0.4 - 0.1 * (i % 2), 0.1) for i in range(20)],
        ("text", "p_a", "p_b", "p_c"),
    )
    hard = write_csv(tmp_path / "hard.csv", [("x", "c"), ("y", "b")])
    rows = rows_of(tmp_path / "data", Corpora(soft, hard), "corpus.probability_prefix=p_")
    assert rows.labels.names == ("a", "b", "c")
    assert next(iter(rows.train)).probabilities == pytest.approx((0.5, 0.4, 0.1))
    assert [row.probabilities for row in rows.validation] == [None, None]


COPIES = [(f"a text of its own, number {i}, about {i * i}", "ab"[i % 2]) for i in range(40)]


@pytest.mark.parametrize(("what", "train"), [("report", 43), ("remove", 40), ("ignore", 43)])
def test_copies_are_reported_and_removed_on_request(tmp_path, write_csv, what, train):
    path = write_csv(tmp_path / "train.csv", [*COPIES, COPIES[0], ("Seen in test", "a"), COPIES[1]])
    validation = write_csv(tmp_path / "validation.csv", [("unseen", "b"), ("unseen too", "a")])
    test = write_csv(tmp_path / "test.csv", [("seen in test", "a")])
    corpora = Corpora(path, validation, test)
    rows = rows_of(tmp_path / "data", corpora, f"corpus.duplicates={what}")
    assert (len(rows.train), len(rows.validation), len(rows.test)) == (train, 2, 1)
    assert (rows.duplicates is None) == (what == "ignore")
    if rows.duplicates:
        assert [len(rows.duplicates.removed[part]) for part in rows.parts()] == [3, 0, 0]
        texts_of = {(copy.parts, *(row.text for row in copy.rows)) for copy in rows.copies}
        assert (("train", "test"), "Seen in test", "seen in test") in texts_of
        assert (("train", "train"), COPIES[0][0], COPIES[0][0]) in texts_of


def test_a_part_without_a_row_left_is_reported(tmp_path, write_csv):
    train = write_csv(tmp_path / "train.csv", COPIES)
    with pytest.raises(CorpusError, match="no train rows are left once duplicates are removed"):
        rows_of(tmp_path / "data", Corpora(train, test=train), "corpus.duplicates=remove")
