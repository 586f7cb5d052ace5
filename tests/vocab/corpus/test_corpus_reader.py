"""A corpus in every format, and its bad rows."""

import csv
import io
import json
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gatewise.vocab.corpus.bad_row_policy import BadRowsError, RejectBadRows, StopAtBadRows
from gatewise.vocab.corpus.columns import Columns
from gatewise.vocab.corpus.corpus_reader import read_rows, read_texts
from gatewise.vocab.errors import CorpusError

EXAMPLES = [("one", "a"), ('two, "quoted"\nand long', "b"), ("drei é 語 😀", "c")]
COMPRESSIONS = {"": None, ".gz": "gzip", ".zst": "zstd"}


def content(suffix, examples):
    if suffix in (".csv", ".tsv"):
        file = io.StringIO(newline="")
        writer = csv.writer(file, delimiter="," if suffix == ".csv" else "\t")
        writer.writerows([("text", "label"), *examples])
        return file.getvalue()
    return "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in examples)


def write(path, examples=EXAMPLES):
    compression = COMPRESSIONS.get(path.suffix)
    suffix = Path(path.stem).suffix if compression else path.suffix
    if suffix == ".parquet":
        texts, labels = zip(*examples, strict=True)
        pq.write_table(pa.table({"text": texts, "label": labels}), path)
    else:
        with pa.output_stream(str(path), compression=compression) as stream:
            stream.write(content(suffix, examples).encode())
    return path


def strict(path, **options):
    return list(read_rows(path, bad_rows=StopAtBadRows(), **options))


@pytest.fixture
def jsonl(tmp_path):
    def make(*records):
        path = tmp_path / "train.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
        return path

    return make


NO_LABEL = "expected the label to be a string or an integer"
NAMES = [
    f"train{suffix}{compression}"
    for suffix in (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
    for compression in COMPRESSIONS
] + ["train.parquet"]


@pytest.mark.parametrize("name", NAMES)
def test_every_format_gives_the_same_rows(tmp_path, name):
    path = write(tmp_path / name)
    rows = strict(path)
    assert [(row.text, row.label) for row in rows] == EXAMPLES
    lines = {"c": [2, 3, 5], "t": [2, 3, 5]}.get(name[6], [1, 2, 3])
    assert [(row.location.file, row.location.line) for row in rows] == [
        (str(path), line) for line in lines
    ]
    assert list(read_texts(path, bad_rows=StopAtBadRows())) == [text for text, _ in EXAMPLES]


def test_a_folder_is_read_file_by_file(tmp_path):
    for number, name in enumerate(sorted(NAMES)):
        write(tmp_path / name, [(f"text {number}", "a")])
    (tmp_path / ".hidden.txt").write_text("not a corpus")
    rows = strict(tmp_path)
    assert [row.text for row in rows] == [f"text {number}" for number in range(len(NAMES))]
    assert rows[0].location.file == str(tmp_path / sorted(NAMES)[0])


def test_a_missing_column_is_named_with_those_of_the_file(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("text,class\nx,a\n")
    with pytest.raises(CorpusError) as caught:
        read_rows(path, bad_rows=StopAtBadRows())
    assert str(caught.value) == (
        f"{path}: no column 'label'; the columns are: text, class. Name the label column"
    )
    with pytest.raises(CorpusError, match=r"no column 'body'.*Name the text column"):
        read_texts(path, bad_rows=StopAtBadRows(), text_column="body")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"label": "a"}, "the text is missing"),
        ({"text": " \n\u3000", "label": "a"}, "the text is missing"),
        ({"text": 5, "label": "a"}, "expected the text to be a string, received a number"),
        ({"text": "x"}, "the label is missing"),
        ({"text": "x", "label": " "}, "the label is missing"),
        ({"text": "x", "label": True}, f"{NO_LABEL}, received true or false"),
        ({"text": "x", "label": 1.5}, f"{NO_LABEL}, received a number"),
    ],
)
def test_bad_rows_are_reported_with_the_reason(jsonl, record, reason):
    path = jsonl({"text": "x", "label": "a"}, record, {"text": "y", "label": "b"})
    with pytest.raises(BadRowsError) as caught:
        strict(path)
    assert str(caught.value) == (
        f"{path}: 1 bad row: line 2: {reason}. Fix these rows, or write them to a rejects file"
    )


def test_an_integer_label_is_its_decimal_string(jsonl, tmp_path):
    [row] = strict(jsonl({"body": "x", "class": -3}), columns=Columns("body", "class"))
    assert (row.text, row.label) == ("x", "-3")
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table({"text": ["x"], "label": pa.array([7], pa.int8())}), path)
    assert [row.label for row in strict(path)] == ["7"]


def test_an_unknown_label_is_named_with_some_known_ones(jsonl):
    path = jsonl({"text": "x", "label": "b"}, {"text": "y", "label": "x" * 100})
    assert [row.label for row in strict(path, known_labels=["b", "x" * 100])] == ["b", "x" * 100]
    with pytest.raises(BadRowsError) as caught:
        strict(path, known_labels=[f"k{number:02}" for number in range(12)])
    message = str(caught.value)
    known = "was never seen in training; known labels: k00, k01, k02 … (12)"
    assert f"line 1: label 'b' {known}" in message
    assert f"label '{'x' * 60}…' was never seen" in message
    with pytest.raises(BadRowsError, match=r"known labels: a, b\. Fix"):
        strict(path, known_labels={"b", "a"})


def test_no_good_row_is_lost_among_bad_ones(tmp_path):
    path = tmp_path / "train.csv"
    path.write_bytes(
        b'text,label\nfine 1,a\nonly\n"open,a\nfine \xc3\xa9,b\ncaf\xe9,a\n,a\nfine 3,\nx,z\n'
        b"fine 4,b\n"
    )
    with RejectBadRows(tmp_path / "rejects.jsonl") as policy:
        rows = list(read_rows(path, bad_rows=policy, known_labels={"a", "b"}))
    assert [row.text for row in rows] == ["fine 1", "fine é", "fine 4"]
    rejects = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert policy.count == len(rejects) == 6
    assert {entry["file"] for entry in rejects} == {str(path)}
    assert [(entry["line"], entry["content"]) for entry in rejects] == [
        (3, "only"),
        (4, '"open,a'),
        (6, "caf\udce9,a"),
        (7, ",a"),
        (8, "fine 3,"),
        (9, "x,z"),
    ]


def test_a_file_without_rows_is_refused_and_its_rejects_are_kept(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\n")
    empty = pa.array([], pa.string())
    pq.write_table(pa.table({"text": empty, "label": empty}), tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text("no json\n")
    for name, rejects in (("a.csv", 0), ("a.parquet", 0), ("a.jsonl", 1)):
        with (
            pytest.raises(CorpusError, match="holds no rows that can be used"),
            RejectBadRows(tmp_path / "rejects.jsonl") as policy,
        ):
            list(read_rows(tmp_path / name, bad_rows=policy))
        assert len((tmp_path / "rejects.jsonl").read_text().splitlines()) == rejects


@pytest.mark.parametrize("name", ["train.csv", "train.jsonl.zst"])
def test_reading_is_lazy_and_its_memory_bounded(tmp_path, name):
    path = write(tmp_path / name, [("a text of some length " * 40, "a")] * 15_000)
    tracemalloc.start()
    try:
        rows = read_rows(path, bad_rows=StopAtBadRows())
        assert next(rows).label == "a"
        assert sum(1 for _ in rows) == 14_999
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 1024 * 1024  # of 13 MB


def test_a_row_has_the_weight_of_its_column_and_none_without_weight(jsonl):
    weighted = Columns(weight="w")
    found = strict(
        jsonl(
            {"text": "one", "label": "a", "w": 2.5},
            {"text": None, "label": None, "w": 0},
            {"text": "two", "label": "b", "w": "0.5"},
        ),
        columns=weighted,
    )
    assert [(row.text, row.weight) for row in found] == [("one", 2.5), ("two", 0.5)]
    for value in (-1, "much", None, True):
        path = jsonl({"text": "one", "label": "a", "w": value})
        with pytest.raises(BadRowsError, match="line 1: column 'w': expected a weight, a finite"):
            strict(path, columns=weighted)
    path = jsonl({"text": "one", "label": "a"})
    assert [row.weight for row in strict(path)] == [1]
    with pytest.raises(CorpusError, match="no column 'w'"):
        strict(path, columns=weighted)
