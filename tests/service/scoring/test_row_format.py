"""Rows in every format can be read back with the same values."""

import csv
import datetime
import decimal
import json
import math
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewise.service.scoring import row_format as row_formats
from gatewise.service.scoring.row_format import ParquetAssembler, RowFormat
from gatewise.vocab.corpus.cell_values import cell_text, json_text
from gatewise.vocab.corpus.record_stream import open_records
from gatewise.vocab.corpus.records import Record
from gatewise.vocab.errors import CorpusError, OutputError

SCHEMA = pa.schema([("text", pa.string()), ("n", pa.string())])
ROWS = [{"text": 'a, "b"\n\tc\r', "n": "1"}, {"text": "é 語 😀", "n": ""}]
NAMES = [
    f"out{suffix}{compression}"
    for suffix in (".csv", ".tsv", ".jsonl")
    for compression in ("", ".gz", ".zst")
] + ["out.parquet"]


def write(path, rows, schema=SCHEMA):
    row_format = RowFormat.named(path, schema)
    return put(
        path,
        row_format,
        [row_format.header(), row_format.encode(rows[:1]), row_format.encode(rows[1:])],
    )


def put(path, row_format, parts):
    contents = b"".join(parts)
    if path.suffix != ".parquet":
        path.write_bytes(contents)
        return path
    with ParquetAssembler(str(path), row_format.schema) as assembler:
        assembler.add(pa.BufferReader(contents))
    return path


def read(path):
    records = list(open_records(path))
    assert all(isinstance(record, Record) for record in records)
    return [dict(record.values) for record in records]


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_read_back(tmp_path, name):
    assert read(write(tmp_path / name, ROWS)) == ROWS
    assert [path.name for path in tmp_path.iterdir()] == [name]


# Cells of TSV with tabs and line ends may be refused, see `test_round_trip`.
CELL = st.text(st.characters(codec="utf-8", exclude_characters="\t"), max_size=12)


@given(
    rows=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=5),
    name=st.sampled_from([name for name in NAMES if not name.endswith(("gz", "zst"))]),
)
def test_any_texts_are_read_back(rows, name):
    rows = [{"text": text, "n": n} for text, n in rows]
    with tempfile.TemporaryDirectory() as folder:
        assert read(write(Path(folder, name), rows)) == rows


def test_csv_follows_rfc_4180_with_lf_line_ends(tmp_path):
    path = write(tmp_path / "out.csv", ROWS)
    assert path.read_bytes() == 'text,n\n"a, ""b""\n\tc\r",1\né 語 😀,\n'.encode()
    with path.open(encoding="utf-8", newline="") as stream:
        assert list(csv.DictReader(stream)) == ROWS


@pytest.mark.parametrize(
    ("name", "magic"), [("a.csv.gz", b"\x1f\x8b"), ("a.csv.zst", b"\x28\xb5\x2f\xfd")]
)
def test_compressed_output_is_compressed(tmp_path, name, magic):
    data = write(tmp_path / name, [{"text": "x" * 10_000, "n": "1"}] * 100).read_bytes()
    assert data.startswith(magic)
    assert len(data) < 20_000


VALUES = {
    "string": "x",
    "null": None,
    "true": True,
    "int": 2**70,
    "float": 0.1,
    "list": [1, "é", None],
    "object": {"a": [True]},
}


def test_json_values_become_json_text_in_cells(tmp_path):
    schema = pa.schema([(name, pa.string()) for name in VALUES])
    in_cells = {
        "string": "x",
        "null": "",
        "true": "true",
        "int": "1180591620717411303424",
        "float": "0.1",
        "list": '[1, "é", null]',
        "object": '{"a": [true]}',
    }
    assert read(write(tmp_path / "out.csv", [VALUES], schema)) == [in_cells]
    assert read(write(tmp_path / "out.jsonl", [VALUES], schema)) == [VALUES]
    assert read(write(tmp_path / "out.parquet", [VALUES], schema)) == [in_cells | {"null": None}]


def test_json_lines_keep_the_keys_of_each_row(tmp_path):
    rows = [{"n": "1", "text": "a"}, {"text": "b", "more": [1]}, {}]
    lines = write(tmp_path / "out.jsonl", rows).read_text().splitlines()
    assert [list(json.loads(line)) for line in lines] == [list(row) for row in rows]


def test_missing_column_is_empty(tmp_path):
    assert read(write(tmp_path / "out.csv", [{"text": "a"}])) == [{"text": "a", "n": ""}]
    assert read(write(tmp_path / "out.parquet", [{"n": "1"}])) == [{"text": None, "n": "1"}]


def arrow_table():
    nanoseconds = pa.array([1, None], pa.timestamp("ns"))
    return pa.table(
        {
            "text": pa.array(["x", "y"], pa.large_string()),
            "category": pa.array(["c", "d"]).dictionary_encode(),
            "small": pa.array([1, None], pa.int8()),
            "float": pa.array([0.1, float("nan")], pa.float32()),
            "when": nanoseconds,
            "zone": pa.array([0, 1], pa.timestamp("us", tz="UTC")),
            "took": pa.array([1, 2], pa.duration("ns")),
            "price": pa.array([decimal.Decimal("1.10"), None]),
            "struct": pa.array([{"at": 1}, None], pa.struct([("at", pa.timestamp("ns"))])),
            "lists": pa.array([["a"], []], pa.list_(pa.string())),
            "map": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int32())),
            "bytes": pa.array([b"\xff", None]),
            "fixed": pa.array([b"ab", b"cd"], pa.binary(2)),
        }
    )


def test_parquet_to_parquet_keeps_types_and_values(tmp_path):
    table = arrow_table()
    pq.write_table(table, tmp_path / "in.parquet")
    write(tmp_path / "out.parquet", read(tmp_path / "in.parquet"), table.schema)
    written = pq.read_table(tmp_path / "out.parquet")
    assert written.schema.equals(table.schema)
    assert written.drop_columns("float").equals(table.drop_columns("float"))
    # NaN is not equal to itself, so this column is compared as it prints.
    assert str(written["float"]) == str(table["float"])


MOMENT = datetime.datetime(2024, 2, 29)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[MOMENT, None], None, []], pa.list_(pa.timestamp("ns", "UTC"))),
        pa.array([[[MOMENT], None], None, []], pa.list_(pa.list_(pa.timestamp("ns")))),
        pa.array([[("k", 1)], None, [("l", None)]], pa.map_(pa.string(), pa.int32())),
        pa.array([{"at": [[MOMENT], None]}, None, {"at": None}]),
    ],
    ids=lambda column: str(column.type),
)
def test_nulls_in_nested_parquet_columns_are_kept(tmp_path, column):
    table = pa.table({"x": column})
    pq.write_table(table, tmp_path / "in.parquet")
    write(tmp_path / "out.parquet", read(tmp_path / "in.parquet"), table.schema)
    assert pq.read_table(tmp_path / "out.parquet").equals(pq.read_table(tmp_path / "in.parquet"))


def test_nan_is_an_empty_cell(tmp_path):
    rows = [{"text": "a", "n": value} for value in (math.nan, pa.scalar(math.nan), None)]
    assert [row["n"] for row in read(write(tmp_path / "out.csv", rows))] == [""] * 3
    assert [row["n"] for row in read(write(tmp_path / "out.parquet", rows))] == [None] * 3


@pytest.mark.parametrize("kind", [float, pa.scalar, lambda value: pa.scalar(value, pa.float32())])
def test_infinity_is_read_back_from_a_cell(tmp_path, kind):
    rows = [{"text": "a", "n": kind(value)} for value in (math.inf, -math.inf)]
    for name in ("out.csv", "out.tsv"):
        found = [row["n"] for row in read(write(tmp_path / name, rows))]
        assert [float(cell) for cell in found] == [math.inf, -math.inf]
    assert [row["n"] for row in read(write(tmp_path / "out.jsonl", rows))] == [None, None]


def test_a_map_beside_nan_is_json_like_any_other(tmp_path):
    pairs = pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int8()))
    for value, text in zip(pairs, ('[["a", 1]]', "[]"), strict=True):
        assert json_text({"x": math.nan, "m": value}) == f'{{"x": null, "m": {text}}}'


def test_parquet_values_become_json(tmp_path):
    table = arrow_table().drop_columns(["bytes", "fixed", "took", "struct"])
    pq.write_table(table, tmp_path / "in.parquet")
    first, second = read(write(tmp_path / "out.jsonl", read(tmp_path / "in.parquet")))
    assert first == {
        "text": "x",
        "category": "c",
        "small": 1,
        "float": 0.10000000149011612,
        "when": "1970-01-01 00:00:00.000000001",
        "zone": "1970-01-01 00:00:00.000000Z",
        "price": "1.10",
        "lists": ["a"],
        "map": [["k", 1]],
    }
    assert (second["float"], second["when"], second["price"]) == (None, None, None)


def test_cells_and_json_of_single_values():
    when = datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC)
    assert cell_text(pa.scalar(when)) == "2024-02-29 12:00:00.000000Z"
    assert cell_text(pa.scalar(None, pa.date32())) == ""
    assert cell_text(pa.scalar({"a": when.date()})) == '{"a": "2024-02-29"}'
    assert json_text({"a": [float("inf"), (float("nan"),)]}) == '{"a": [null, [null]]}'


def test_value_beyond_every_integer_of_its_column_type_is_refused(tmp_path):
    with pytest.raises(OutputError, match="column 'n': expected values of type int64"):
        write(tmp_path / "out.parquet", [{"n": 2**64 - 1}], pa.schema([("n", pa.int64())]))


def test_value_out_of_the_range_of_its_column_type_is_refused(tmp_path):
    with pytest.raises(OutputError, match="column 'n': expected values of type int8"):
        write(tmp_path / "a.parquet", [{"n": 1000}], pa.schema([("n", pa.int8())]))


def test_row_groups_are_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(row_formats, "_GROUP_ROWS", 100)
    row_format = RowFormat.named(tmp_path / "a.parquet", SCHEMA)
    put(tmp_path / "a.parquet", row_format, [row_format.encode(ROWS * 5)] * 25)
    metadata = pq.read_metadata(tmp_path / "a.parquet")
    groups = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    assert groups == [100, 100, 50]


def test_unknown_suffix_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="unknown kind of file"):
        write(tmp_path / "a.txt", ROWS)
