"""A corpus in every format, and its bad rows."""

import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gatewise.vocab.corpus.bad_row_policy import BadRowsError, RejectBadRows, StopAtBadRows
from gatewise.vocab.corpus.columns import Columns
from gatewise.vocab.corpus.corpus_reader import Row, read_rows, read_texts
from gatewise.vocab.errors import CorpusError

EXAMPLES = [("one", "a"), ('two, "quoted"\nand long', "b"), ("drei é 語 😀", "c")]
COMPRESSIONS = {"": None, ".gz": "gzip", ".zst": "zstd"}


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def content(suffix: str, examples: list[tuple[str, str]]) -> str:
    if suffix in (".csv", ".tsv"):
        between = "," if suffix == ".csv" else "\t"
        rows = [("text", "label"), *examples]
        return "".join(between.join(map(quoted, row)) + "\r\n" for row in rows)
    return "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in examples)


def write(path: Path, examples: list[tuple[str, str]] = EXAMPLES) -> Path:
    compression = COMPRESSIONS.get(path.suffix)
    suffix = Path(path.stem).suffix if compression else path.suffix
    if suffix == ".parquet":
        texts, labels = zip(*examples, strict=True)
        pq.write_table(pa.table({"text": texts, "label": labels}), path)
    else:
        with pa.output_stream(str(path), compression=compression) as stream:
            stream.write(content(suffix, examples).encode())
    return path


def strict(path: Path, **options: object) -> list[Row]:
    return list(read_rows(path, bad_rows=StopAtBadRows(), **options))


@pytest.fixture
def jsonl(tmp_path: Path) -> Callable[..., Path]:
    def make(*records: object) -> Path:
        path = tmp_path / "train.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
        return path

    return make


NAMES = [
    f"train{suffix}{compression}"
    for suffix in (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
    for compression in COMPRESSIONS
] + ["train.parquet"]


@pytest.mark.parametrize("name", NAMES)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name)
    rows = strict(path)
    assert [(row.text, row.label) for row in rows] == EXAMPLES
    lines = {"c": [2, 3, 5], "t": [2, 3, 5]}.get(name[6], [1, 2, 3])
    assert [(row.location.file, row.location.line) for row in rows] == [
        (str(path), line) for line in lines
    ]
    assert list(read_texts(path, bad_rows=StopAtBadRows())) == [text for text, _ in EXAMPLES]


def test_a_folder_is_read_file_by_file(tmp_path: Path) -> None:
    for number, name in enumerate(sorted(NAMES)):
        write(tmp_path / name, [(f"text {number}", "a")])
    (tmp_path / ".hidden.txt").write_text("not a corpus")
    rows = strict(tmp_path)
    assert [row.text for row in rows] == [f"text {number}" for number in range(len(NAMES))]
    assert rows[0].location.file == str(tmp_path / sorted(NAMES)[0])


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("class,id,body\na,1,x\n")
    [row] = strict(path, columns=Columns("body", "class"))
    assert (row.text, row.label) == ("x", "a")


def test_a_missing_column_is_named_with_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("text,class\nx,a\n")
    with pytest.raises(CorpusError) as caught:
        read_rows(path, bad_rows=StopAtBadRows())
    assert str(caught.value) == (
        f"{path}: no column 'label'; the columns are: text, class. Name the label column"
    )
    with pytest.raises(CorpusError, match=r"no column 'body'.*Name the text column"):
        read_texts(path, bad_rows=StopAtBadRows(), text_column="body")


def test_every_file_of_a_folder_needs_the_columns(tmp_path: Path) -> None:
    write(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("text\nx\n")
    with pytest.raises(CorpusError, match=r"b\.csv: no column 'label'"):
        read_rows(tmp_path, bad_rows=StopAtBadRows())


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"label": "a"}, "the text is missing"),
        ({"text": " \n\u3000", "label": "a"}, "the text is missing"),
        ({"text": 5, "label": "a"}, "expected the text to be a string, received a number"),
        ({"text": "x"}, "the label is missing"),
        ({"text": "x", "label": " "}, "the label is missing"),
        (
            {"text": "x", "label": True},
            "expected the label to be a string or an integer, received true or false",
        ),
        (
            {"text": "x", "label": 1.5},
            "expected the label to be a string or an integer, received a number",
        ),
    ],
)
def test_bad_rows_are_reported_with_the_reason(jsonl, record: dict, reason: str) -> None:
    path = jsonl({"text": "x", "label": "a"}, record, {"text": "y", "label": "b"})
    with pytest.raises(BadRowsError) as caught:
        strict(path)
    assert str(caught.value) == (
        f"{path}: 1 bad row: line 2: {reason}. Fix these rows, or write them to a rejects file"
    )


def test_an_integer_label_is_its_decimal_string(jsonl, tmp_path: Path) -> None:
    assert [row.label for row in strict(jsonl({"text": "x", "label": -3}))] == ["-3"]
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table({"text": ["x"], "label": pa.array([7], pa.int8())}), path)
    assert [row.label for row in strict(path)] == ["7"]


def test_an_unknown_label_is_named_with_some_known_ones(jsonl) -> None:
    path = jsonl({"text": "x", "label": "b"}, {"text": "y", "label": "x" * 100})
    assert [row.label for row in strict(path, known_labels=["b", "x" * 100])] == ["b", "x" * 100]
    with pytest.raises(BadRowsError) as caught:
        strict(path, known_labels=[f"k{number:02}" for number in range(12)])
    message = str(caught.value)
    assert (
        "line 1: label 'b' was never seen in training; known labels: k00, k01, k02 … (12)"
        in message
    )
    assert f"label '{'x' * 60}…' was never seen" in message
    with pytest.raises(BadRowsError, match=r"known labels: a, b\. Fix"):
        strict(path, known_labels={"b", "a"})


def test_no_good_row_is_lost_among_bad_ones(tmp_path: Path) -> None:
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


def test_the_first_record_of_json_lines_may_lack_a_key(jsonl, tmp_path: Path) -> None:
    path = jsonl({"label": "a"}, {"text": "x", "label": "a"})
    with RejectBadRows(tmp_path / "rejects.jsonl") as policy:
        assert [row.text for row in read_rows(path, bad_rows=policy)] == ["x"]


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n")
    empty = pa.array([], pa.string())
    pq.write_table(pa.table({"text": empty, "label": empty}), tmp_path / "a.parquet")
    for name in ("a.csv", "a.parquet"):
        with pytest.raises(CorpusError, match="holds no rows that can be used"):
            strict(tmp_path / name)


def test_a_corpus_of_bad_rows_alone_is_refused_and_leaves_its_rejects(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("no json\n")
    with (
        pytest.raises(CorpusError, match="holds no rows"),
        RejectBadRows(tmp_path / "rejects.jsonl") as policy,
    ):
        list(read_rows(path, bad_rows=policy))
    assert "no json" in (tmp_path / "rejects.jsonl").read_text()


@pytest.mark.parametrize("name", ["train.csv", "train.jsonl.zst"])
def test_reading_is_lazy_and_its_memory_bounded(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, [("a text of some length " * 40, "a")] * 30_000)
    tracemalloc.start()
    try:
        rows: Iterator[Row] = read_rows(path, bad_rows=StopAtBadRows())
        assert next(rows).label == "a"
        assert sum(1 for _ in rows) == 29_999
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 1024 * 1024  # of 26 MB
