"""What scoring writes, the corpus reader reads back to the same meaning, from and to every format.

The inputs may differ as the parts of real data sets do.
"""

import datetime
import decimal
import json
import tempfile
import uuid
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewise.service.scoring.score_file import Parallelism, score_file
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.columns import Columns
from gatewise.vocab.corpus.corpus_reader import read_rows
from gatewise.vocab.corpus.record_stream import open_records
from gatewise.vocab.errors import CorpusError, GatewiseError, OutputError
from gatewise.vocab.tokenizer.encoding import Encoded, Ragged


class OneLabel:
    """A classifier that gives every text the same label."""

    task, multi_label, thresholds, reject = "single_label", False, None, None
    classes_ = ("no", "yes")
    artifact = SimpleNamespace(sha256="0" * 64, model_file=Path("model.onnx"))
    encoding = SimpleNamespace(features=0, column_of=str)

    def encode_together(self, texts):
        return Ragged.of([Encoded(np.array([2, 3]), truncated=False) for _ in texts])

    def probabilities(self, encoded):
        return np.tile(np.float32([0.25, 0.75]), (len(encoded), 1))


def score(source, target, rejects=None):
    return score_file(OneLabel(), source, target, rejects=rejects, parallelism=Parallelism(1))


SUFFIXES = ("csv", "tsv", "jsonl", "parquet")
WORD = st.text(st.characters(codec="utf-8", exclude_characters="\x00\t"), max_size=8)
LABEL = st.sampled_from(["a", "b c", " d", "e|f", "['g']", "[h]", '"', "1"])
ROW = st.fixed_dictionaries(
    {
        "text": WORD.map("hello {}".format),
        "name": st.none() | WORD,
        "n": st.none() | st.integers(-(2**63), 2**63 - 1),
        "x": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "paid": st.none() | st.booleans(),
        "tags": st.none() | st.lists(st.none() | WORD, max_size=3),
        "who": st.none()
        | st.fixed_dictionaries({"name": WORD, "age": st.none() | st.integers(0, 9)}),
        "labels": st.lists(LABEL, max_size=3, unique=True),
    }
)


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path, names):
    return [
        {name: record.values[name] for name in names if name in record.values}
        for record in open_records(path)
    ]


def labels_of(path):
    rows = read_rows(path, bad_rows=StopAtBadRows(), columns=Columns(label="labels"))
    return [row.labels for row in rows]


def as_cell(name, value):
    if value is None or isinstance(value, str):
        return value or ""
    if name == "labels" and not any("|" in label or label == "['g']" for label in value):
        return "|".join(value)
    return json.dumps(value, ensure_ascii=False)


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(ROW, min_size=1, max_size=4),
    first=st.sampled_from(SUFFIXES),
    second=st.sampled_from(SUFFIXES),
)
def test_values_are_the_same_after_two_formats(rows, first, second):
    with tempfile.TemporaryDirectory() as folder:
        source = write_lines(Path(folder, "in.jsonl"), rows)
        middle, last = Path(folder, f"middle.{first}"), Path(folder, f"last.{second}")
        score(source, middle)
        score(middle, last)
        expected = rows
        if {first, second} & {"csv", "tsv"}:
            cells = [{name: as_cell(name, value) for name, value in row.items()} for row in rows]
            assert [{**row, "labels": ""} for row in read(last, rows[0])] == [
                {**row, "labels": ""} for row in cells
            ]
        else:
            assert [
                {k: as_python(v) for k, v in row.items()} for row in read(last, rows[0])
            ] == expected
        assert labels_of(last) == labels_of(source) == [tuple(sorted(r["labels"])) for r in rows]


def as_python(value):
    return value.as_py() if isinstance(value, pa.Scalar) else value


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_labels_in_a_cell_are_written_as_corpora_have_them(tmp_path, suffix):
    rows = [{"text": "one", "labels": labels} for labels in (["a", "b"], ["a"], [], ["a|b"])]
    score(write_lines(tmp_path / "in.jsonl", rows), tmp_path / f"out.{suffix}")
    cells = [record.values["labels"] for record in open_records(tmp_path / f"out.{suffix}")]
    assert cells == ["a|b", "a", "", '["a|b"]']


def test_json_lines_to_parquet_keeps_types(tmp_path):
    row = {"text": "late", "id": 7, "price": 1.5, "paid": True, "tags": ["a"], "who": {"n": 1}}
    score(write_lines(tmp_path / "in.jsonl", [row]), tmp_path / "out.parquet")
    types = {field.name: str(field.type) for field in pq.read_schema(tmp_path / "out.parquet")}
    assert types == {
        "text": "string",
        "id": "int64",
        "price": "double",
        "paid": "bool",
        "tags": "list<element: string>",
        "who": "struct<n: int64>",
        "label": "string",
        "score": "float",
    }


@pytest.mark.parametrize("values", [[1, "x"], [1, True], [[1], "x"], [2**70, 1], [{}, {}]])
def test_values_of_several_kinds_are_text_in_parquet(tmp_path, values):
    rows = [{"text": "late", "v": value} for value in values]
    score(write_lines(tmp_path / "in.jsonl", rows), tmp_path / "out.parquet")
    cells = [v if isinstance(v, str) else json.dumps(v) for v in values]
    assert pq.read_table(tmp_path / "out.parquet")["v"].to_pylist() == cells


def test_later_value_of_another_kind_is_a_bad_row(tmp_path):
    rows = [{"text": "late", "n": 1}] * 10_000 + [{"text": "late", "n": 1.5}]
    source = write_lines(tmp_path / "in.jsonl", rows)
    with pytest.raises(GatewiseError, match=r"line 10001: column 'n': .*int64, received .*1\.5"):
        score(source, tmp_path / "out.parquet")
    assert score(source, tmp_path / "out.parquet", rejects=tmp_path / "r.jsonl").rejected == 1


UUID = uuid.UUID(int=5)
COLUMNS = {
    "id": (
        pa.ExtensionArray.from_storage(pa.uuid(), pa.array([UUID.bytes], pa.binary(16))),
        str(UUID),
    ),
    "took": (pa.array([1_500_000_001], pa.duration("ns")), "PT1.500000001S"),
    "bytes": (pa.array([b"\xff"]), "/w=="),
    "fixed": (pa.array([b"ab"], pa.binary(2)), "YWI="),
    "price": (pa.array([decimal.Decimal("1.10")]), "1.10"),
    "day": (pa.array([datetime.date(2024, 2, 29)]), "2024-02-29"),
    "pair": (pa.array([["a", "b"]], pa.list_(pa.string(), 2)), ["a", "b"]),
    "view": (pa.array([["a"]], pa.list_view(pa.string())), ["a"]),
    "nested": (pa.array([{"took": datetime.timedelta(seconds=1)}]), {"took": "PT1S"}),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_every_type_of_arrow_has_a_text_form(tmp_path, name):
    column, expected = COLUMNS[name]
    table = pa.table({"text": ["late"], name: column})
    if name == "view":  # which Parquet has only since a later release of pyarrow
        with (
            pa.OSFile(str(tmp_path / "in.arrow"), "wb") as file,
            pa.ipc.new_file(file, table.schema) as writer,
        ):
            writer.write_table(table)
    else:
        pq.write_table(table, tmp_path / "in.parquet")
    (source,) = tmp_path.glob("in.*")
    for suffix in ("jsonl", "csv"):
        score(source, tmp_path / f"out.{suffix}")
        (record,) = open_records(tmp_path / f"out.{suffix}")
        is_text = isinstance(expected, str) or suffix == "jsonl"
        assert record.values[name] == (expected if is_text else json.dumps(expected))


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.string(), 2), pa.large_list(pa.large_string())], ids=str
)
def test_every_kind_of_list_holds_labels(tmp_path, kind):
    pq.write_table(
        pa.table({"text": ["x"], "labels": pa.array([["a", "b"]], kind)}), tmp_path / "a.parquet"
    )
    assert labels_of(tmp_path / "a.parquet") == [("a", "b")]


def test_rejects_file_holds_json_whatever_the_row_held(tmp_path):
    table = pa.table(
        {
            "text": [None, "late"],
            **{
                name: pa.concat_arrays([c, c]) for name, (c, _) in COLUMNS.items() if name != "view"
            },
            "x": [float("nan"), 1.0],
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    assert (
        score(tmp_path / "in.parquet", tmp_path / "out.csv", rejects=tmp_path / "r.jsonl").rejected
        == 1
    )
    content = json.loads(json.loads((tmp_path / "r.jsonl").read_text())["content"])
    assert content["x"] is None
    assert content["took"] == "PT1.500000001S"


PARTS = {
    "strings": (pa.array(["a"]), pa.array(["b"], pa.large_string()), "large_string"),
    "integers": (pa.array([1], pa.int32()), pa.array([2**40]), "int64"),
    "categories": (pa.array(["a"]).dictionary_encode(), pa.array(["b"]), "string"),
    "times": (
        pa.array([datetime.datetime(2024, 2, 29)], pa.timestamp("ms")),
        pa.array([datetime.datetime(2024, 3, 1)], pa.timestamp("us")),
        "timestamp[us]",
    ),
    "lists": (pa.array([[1]], pa.list_(pa.int32())), pa.array([[2]]), "list<element: int64>"),
    "nulls": (pa.array([None], pa.null()), pa.array([2]), "int64"),
    "structs": (
        pa.array([{"a": 1}]),
        pa.array([{"a": 2, "b": "x"}]),
        "struct<a: int64, b: string>",
    ),
}


@pytest.mark.parametrize("name", PARTS)
def test_parts_of_different_types_are_united(tmp_path, name):
    first, second, expected = PARTS[name]
    (tmp_path / "in").mkdir()
    for number, column in enumerate((first, second)):
        table = pa.table({"text": ["late"], "v": column})
        pq.write_table(table, tmp_path / "in" / f"{number}.parquet")
    score(tmp_path / "in", tmp_path / "out.parquet")
    written = pq.read_table(tmp_path / "out.parquet")
    assert str(written.schema.field("v").type) == expected
    values = [*first.to_pylist(), *second.to_pylist()]
    if name == "structs":
        values[0] = {"a": 1, "b": None}
    assert written["v"].to_pylist() == values


@pytest.mark.parametrize(
    ("parts", "types"),
    [
        ((["a"], [1]), ("int64", "string")),
        (([decimal.Decimal("0.1")], [0.5]), ("double", "decimal")),
        (([[decimal.Decimal("0.1")]], [[0.5]]), ("list<element: double>", "list<.*decimal")),
        (
            ([{"x": [decimal.Decimal("0.1")]}], [{"x": [0.5]}]),
            ("struct<.*double>>", "type struct<"),
        ),
    ],
)
def test_parts_that_cannot_be_united_are_named_before_the_first_row(tmp_path, parts, types):
    (tmp_path / "in").mkdir()
    for number, values in enumerate(parts):
        pq.write_table(
            pa.table({"text": ["late"], "v": values}), tmp_path / "in" / f"{number}.parquet"
        )
    with pytest.raises(
        CorpusError,
        match=rf"1\.parquet: column 'v' has the type {types[0]}, and in .*0\.parquet.* {types[1]}",
    ):
        score(tmp_path / "in", tmp_path / "out.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_metadata_of_parquet_survives(tmp_path):
    metadata = {b"pandas": b'{"index_columns": ["id"], "columns": []}', b"mine": b"1"}
    table = pa.table({"text": ["late"], "id": [1]}).replace_schema_metadata(metadata)
    pq.write_table(table, tmp_path / "in.parquet")
    score(tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert pq.read_schema(tmp_path / "out.parquet").metadata == metadata


def test_parts_without_rows_add_none(tmp_path):
    parts = tmp_path / "in"
    parts.mkdir()
    (parts / "0.jsonl").write_text('{"text": "late"}\n')
    (parts / "1.jsonl").write_bytes(b"")
    (parts / "2.csv").write_bytes(b"")
    (parts / "3.csv").write_text("text\n")
    (parts / "_SUCCESS").write_bytes(b"")
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), parts / "4.parquet")
    for source in (parts, f"{parts}/*"):
        summary = score(source, tmp_path / "out.jsonl")
        assert (summary.rows, summary.scored) == (1, 1)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", ["in.csv", "in.jsonl", "in.parquet"])
def test_input_without_rows_gives_an_output_without_rows(tmp_path, name, suffix):
    if name == "in.parquet":
        pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / name)
    else:
        (tmp_path / name).write_text({"in.csv": "text\n", "in.jsonl": ""}[name])
    out = tmp_path / f"out.{suffix}"
    summary = score(tmp_path / name, out)
    assert (summary.rows, summary.scored) == (0, 0)
    assert not list(open_records(out))
    if suffix != "jsonl":
        assert {"label", "score"} <= set(open_records(out).tables[0].columns)


def test_output_of_rejected_rows_alone_has_none(tmp_path):
    (tmp_path / "in.csv").write_text("text,id\n,1\n")
    summary = score(tmp_path / "in.csv", tmp_path / "out.csv", rejects=tmp_path / "r.jsonl")
    assert (summary.scored, summary.rejected) == (0, 1)
    assert (tmp_path / "out.csv").read_text() == "text,id,label,score\n"


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_single_empty_file_without_a_header_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(CorpusError, match="the file is empty; expected a header line"):
        score(tmp_path / name, tmp_path / "out.csv")


def test_row_of_tsv_that_would_be_read_as_several_is_refused(tmp_path):
    source = write_lines(tmp_path / "in.jsonl", [{"text": "late\tx\ty\nb"}])
    with pytest.raises(OutputError, match="each line of which would be read as a row"):
        score(source, tmp_path / "out.tsv")
    score(source, tmp_path / "out.csv")
    assert read(tmp_path / "out.csv", ["text"]) == [{"text": "late\tx\ty\nb"}]
