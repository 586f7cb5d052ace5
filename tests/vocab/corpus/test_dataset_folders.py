"""Folders of Hugging Face data sets: Arrow files, names of class labels, splits."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gatewise.vocab.corpus.bad_row_policy import BadRowsError, StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import read_rows
from gatewise.vocab.corpus.dataset_folders import evaluated_split, splits_of
from gatewise.vocab.corpus.record_stream import open_records
from gatewise.vocab.errors import CorpusError

CLASS_LABEL = {"names": ["neg", "pos"], "_type": "ClassLabel"}
FEATURES = {"text": {"dtype": "string", "_type": "Value"}, "label": CLASS_LABEL}
TEXTS, NUMBERS = ["bad", "good", "so so"], [0, 1, 0]
NAMED = [("bad", "neg"), ("good", "pos"), ("so so", "neg")]


def table(features: dict[str, object] | None = None, **columns: list[object]) -> pa.Table:
    """A table with the metadata that `datasets` writes into its files."""
    made = pa.table(columns or {"text": TEXTS, "label": NUMBERS})
    info = json.dumps({"info": {"features": features}})
    return made if features is None else made.replace_schema_metadata({"huggingface": info})


def save_to_disk(folder: Path, *tables: pa.Table, features: object = FEATURES) -> Path:
    """The layout of `Dataset.save_to_disk`."""
    folder.mkdir(parents=True)
    files = [f"data-{n:05}-of-{len(tables):05}.arrow" for n in range(len(tables))]
    for name, each in zip(files, tables, strict=True):
        with pa.ipc.new_stream(str(folder / name), each.schema) as stream:
            stream.write_table(each, max_chunksize=2)
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))
    state = {"_data_files": [{"filename": name} for name in files], "_split": "train"}
    (folder / "state.json").write_text(json.dumps(state))
    return folder


def rows(path: Path) -> list[tuple[str, str]]:
    return [(row.text, "|".join(row.labels)) for row in read_rows(path, bad_rows=StopAtBadRows())]


@pytest.mark.parametrize("in_file", [FEATURES, None])
def test_a_saved_data_set_is_read_with_the_names_of_its_labels(
    tmp_path: Path, in_file: dict[str, object] | None
) -> None:
    folder = save_to_disk(tmp_path / "set", table(in_file), table(in_file))
    # Left by another program, and not among the files of the data set.
    (folder / "cache-1.arrow").write_bytes(b"x")
    assert rows(folder) == NAMED * 2
    records = open_records(folder)
    assert [record.values["label"] for record in records] == NUMBERS * 2
    assert [record.location.place for record in records] == ["row 1", "row 2", "row 3"] * 2
    assert records.tables[0].columns == ("text", "label")


def test_an_arrow_file_with_an_index_is_read_too(tmp_path: Path) -> None:
    with pa.ipc.new_file(str(tmp_path / "a.arrow"), table(FEATURES).schema) as file:
        file.write_table(table(FEATURES))
    assert rows(tmp_path / "a.arrow") == NAMED


@pytest.mark.parametrize("kind", ["Sequence", "List"])
def test_lists_of_class_labels(tmp_path: Path, kind: str) -> None:
    features = {"labels": {"feature": CLASS_LABEL, "_type": kind}}
    several = table(features, text=TEXTS, labels=[[0, 1], [], [1]])
    folder = save_to_disk(tmp_path / "set", several, features=features)
    assert rows(folder) == [("bad", "neg|pos"), ("good", ""), ("so so", "pos")]


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (-1, "row 2: the label is missing"),
        (2, "row 2: expected the number of one of the 2 labels, received 2"),
    ],
)
def test_numbers_without_a_name_make_bad_rows(tmp_path: Path, number: int, reason: str) -> None:
    folder = save_to_disk(tmp_path / "set", table(text=["x", "y"], label=[0, number]))
    with pytest.raises(BadRowsError, match=reason):
        rows(folder)


def test_splits_of_a_saved_dictionary(tmp_path: Path) -> None:
    folder = tmp_path / "sets"
    for name in ("train", "validation", "test"):
        save_to_disk(folder / name, table(FEATURES))
    (folder / "dataset_dict.json").write_text('{"splits": ["train", "validation", "test"]}')
    assert splits_of(folder) == {n: folder / n for n in ("train", "validation", "test")}
    assert rows(folder / "test") == NAMED
    with pytest.raises(CorpusError) as caught:
        open_records(folder)
    assert str(caught.value) == (
        f"{folder}: holds the splits 'train', 'validation', 'test'; expected one of them, such as "
        f"'{folder / 'train'}'"
    )


@pytest.mark.parametrize("inside", ["", "data"])
def test_splits_of_a_folder_of_the_hub(tmp_path: Path, inside: str) -> None:
    folder = tmp_path / "set [1]"
    (folder / inside).mkdir(parents=True)
    (folder / "README.md").write_text("x")
    for name in ("train-00000-of-00002", "train-00001-of-00002", "dev-00000-of-00001"):
        pq.write_table(table(FEATURES), folder / inside / f"{name}.parquet")
    splits = splits_of(folder)
    assert list(splits) == ["validation", "train"]
    assert rows(splits["train"]) == NAMED * 2
    assert rows(splits["validation"]) == NAMED
    with pytest.raises(CorpusError, match=r"holds the splits 'validation', 'train'; expected one"):
        open_records(folder)


def test_a_folder_of_one_split_is_that_split(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "README.md").write_text("x")
    pq.write_table(table(FEATURES), tmp_path / "data" / "train-00000-of-00001.parquet")
    assert rows(tmp_path) == NAMED


def test_damaged_and_indexed_data_sets_are_refused(tmp_path: Path) -> None:
    folder = save_to_disk(tmp_path / "set", table())
    (folder / "state.json").write_text('{"_data_files": [], "_indices_data_files": [{}]}')
    with pytest.raises(CorpusError, match=r"selects rows by an index. Save it again after"):
        open_records(folder)
    (folder / "state.json").write_text("{")
    with pytest.raises(CorpusError, match=r"state\.json: cannot be read: "):
        open_records(folder)
    (tmp_path / "a.arrow").write_text("text,label\nx,a\n")
    with pytest.raises(CorpusError, match=r"a\.arrow: cannot be read: "):
        open_records(tmp_path / "a.arrow")


def test_files_with_the_names_of_splits_are_splits(tmp_path):
    for name in ("train.csv", "dev.jsonl.gz", "TEST.tsv", "README.md"):
        (tmp_path / name).write_text("text,label\n")
    assert splits_of(tmp_path) == {
        "test": tmp_path / "TEST.tsv",
        "validation": tmp_path / "dev.jsonl.gz",
        "train": tmp_path / "train.csv",
    }
    assert evaluated_split(tmp_path)[0] == tmp_path / "TEST.tsv"
    with pytest.raises(CorpusError, match=r"holds the splits .*expected one of them"):
        open_records(tmp_path)


def test_numbers_and_a_common_name_beside_that_of_a_split(tmp_path):
    folder = tmp_path / "all [1]"
    folder.mkdir()
    for name in ("mail-train_1", "mail-train_2", "mail-test1"):
        (folder / f"{name}.csv").write_text(f"text,label\n{name},x\n")
    splits = splits_of(folder)
    texts = {split: [text for text, _ in rows(path)] for split, path in splits.items()}
    assert texts == {"train": ["mail-train_1", "mail-train_2"], "test": ["mail-test1"]}
    # Of another corpus, so that none of them is a split of the others.
    (folder / "news-test.csv").write_text("text,label\nx,y\n")
    assert splits_of(folder) == {}


def test_files_of_a_split_with_other_names_are_refused(tmp_path):
    for name in ("train.csv", "training.csv", "test.csv"):
        (tmp_path / name).write_text("text,label\nx,y\n")
    with pytest.raises(
        CorpusError, match=r"split 'train', received train\.csv, training\.csv; sev"
    ):
        splits_of(tmp_path)


@pytest.mark.parametrize("name", ["eval", "evaluation"])
def test_rows_for_evaluation_are_the_test_split(tmp_path, name):
    for split in ("train", name):
        (tmp_path / f"{split}.csv").write_text("text,label\n")
    assert splits_of(tmp_path) == {
        "test": tmp_path / f"{name}.csv",
        "train": tmp_path / "train.csv",
    }
    # Beside a split `test` it is another one.
    both = ["train", "test", name]
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": both}))
    assert splits_of(tmp_path) == {split: tmp_path / split for split in both}


def test_folders_with_the_names_of_splits_are_no_classes(tmp_path):
    for split in ("train", "test"):
        (tmp_path / "texts" / split).mkdir(parents=True)
        (tmp_path / "texts" / split / "a.txt").write_text("__label__en hello\n")
        for label in ("neg", "pos"):
            (tmp_path / "reviews" / split / label).mkdir(parents=True)
            (tmp_path / "reviews" / split / label / "1.txt").write_text(f"a {label} review")
    assert list(splits_of(tmp_path / "texts")) == ["test", "train"]
    (record,) = open_records(splits_of(tmp_path / "texts")["train"])
    assert record.values == {"text": "hello", "label": "en"}
    reviews = open_records(splits_of(tmp_path / "reviews")["test"])
    assert [record.values["label"] for record in reviews] == ["neg", "pos"]


def test_other_folders_have_no_splits(tmp_path):
    (tmp_path / "train.csv").write_text("text,label\n")
    assert splits_of(tmp_path) == {}
    (tmp_path / "more.csv").write_text("text,label\n")
    assert splits_of(tmp_path) == {}
    (tmp_path / "test.csv").write_text("text,label\n")
    with pytest.raises(CorpusError, match=r"holds the splits .*'more\.csv', which is none"):
        splits_of(tmp_path)
    (tmp_path / "more.csv").rename(tmp_path / "train.jsonl")
    with pytest.raises(
        CorpusError, match=r"one file of the split 'train', received train\.csv, train\.jsonl"
    ):
        splits_of(tmp_path)
