"""Parquet: rows numbered, values exact, damaged texts named."""

import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gatewise.vocab.corpus.data_files import DataFile
from gatewise.vocab.corpus.parquet_records import columns_of, records_of
from gatewise.vocab.corpus.records import BadRow
from gatewise.vocab.errors import CorpusError


@pytest.fixture
def data(tmp_path):
    def write(columns, **options):
        path = tmp_path / "a.parquet"
        pq.write_table(pa.table(columns), path, **options)
        return DataFile.named(path)

    return write


def test_rows_are_counted_across_row_groups(data):
    texts = [f"text {number}" for number in range(5000)]
    file = data({"text": texts, "label": pa.array(["a", "b"] * 2500)}, row_group_size=700)
    records = list(records_of(file))
    assert columns_of(file) == ("text", "label")
    assert [record.values["text"] for record in records] == texts
    assert [record.location.line for record in records] == list(range(1, 5001))
    assert str(records[16].location).endswith("a.parquet, row 17")


def test_values_are_exact(data):
    nanoseconds = pa.array([1], pa.timestamp("ns"))
    file = data(
        {
            "text": pa.array(["x"], pa.large_string()),
            "view": pa.array(["v"], pa.string_view()),
            "category": pa.array(["c"]).dictionary_encode(),
            "list": [["a", "b"]],
            "int": [2**62],
            "null": pa.array([None]),
            "bytes": [b"\xff"],
            "when": nanoseconds,
            "day": [datetime.date(2024, 2, 29)],
        }
    )
    [record] = records_of(file)
    values = dict(record.values)
    assert values.pop("when") == nanoseconds[0]
    assert values.pop("day") == pa.scalar(datetime.date(2024, 2, 29))
    assert values == {
        "text": "x",
        "view": "v",
        "category": "c",
        "list": ["a", "b"],
        "int": 2**62,
        "null": None,
        "bytes": b"\xff",
    }


@pytest.mark.parametrize("dictionary", [False, True])
def test_a_text_that_is_not_utf8_spoils_one_row(data, dictionary):
    texts = pa.array([b"fine", b"caf\xe9", b"fine", None], pa.binary())
    strings = pa.Array.from_buffers(pa.string(), 4, texts.buffers())
    if dictionary:
        strings = strings.dictionary_encode()
    items = list(records_of(data({"n": [1, 2, 3, 4], "text": strings})))
    assert [isinstance(item, BadRow) for item in items] == [False, True, False, False]
    assert items[1].location.line == 2
    assert items[1].reason == "column 'text' holds the byte 0xe9, which is not UTF-8"
    assert items[1].content == '{"n": 2, "text": "caf\udce9"}'


def test_a_column_named_twice_and_a_damaged_file_are_refused_in_one_line(tmp_path):
    path = tmp_path / "a.parquet"
    twice = pa.Table.from_arrays([pa.array(["x"]), pa.array(["y"])], names=["a", "a"])
    pq.write_table(twice, path)
    with pytest.raises(CorpusError, match="names the column 'a' more than once"):
        columns_of(DataFile.named(path))
    pq.write_table(pa.table({"text": [f"text {n}" for n in range(9000)]}), path)
    whole = path.read_bytes()
    for damaged in (b"text,label\n", whole[:-9], b"PAR1" + bytes(5000) + whole[5004:]):
        path.write_bytes(damaged)
        with pytest.raises(CorpusError, match=r"a\.parquet: cannot be read: ") as caught:
            list(records_of(DataFile.named(path)))
        assert "\n" not in str(caught.value)
