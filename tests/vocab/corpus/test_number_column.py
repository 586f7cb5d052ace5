"""Numbers to predict, in files of every kind and in memory."""

from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gatewise.vocab.corpus.bad_row_policy import BadRowsError, StopAtBadRows
from gatewise.vocab.corpus.columns import Columns
from gatewise.vocab.corpus.corpus_reader import open_corpus, read_rows
from gatewise.vocab.corpus.memory_records import MemoryTable
from gatewise.vocab.errors import CorpusError


def values(path, **columns):
    rows = read_rows(path, bad_rows=StopAtBadRows(), columns=Columns(**columns))
    return [row.value for row in rows]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text,value\nfine,3.5\npoor,-2e1\n"),
        ("a.tsv", "text\tvalue\nfine\t3.5\npoor\t-20\n"),
        ("a.jsonl", '{"text": "fine", "value": 3.5}\n{"text": "poor", "value": "-20"}\n'),
    ],
)
def test_a_column_called_value_holds_numbers(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    assert open_corpus(path).columns.task == "regression"
    assert values(path) == [3.5, -20.0]


@pytest.mark.parametrize(
    "numbers", [[3.5, -20.0], pa.array([Decimal("3.5"), Decimal("-20")], pa.decimal128(5, 1))]
)
def test_numbers_of_parquet(tmp_path, numbers):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["fine", "poor"], "value": numbers}), path)
    assert values(path) == [3.5, -20.0]


def test_numbers_stay_labels_unless_the_task_says_otherwise(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\nfine,4\npoor,1\n", encoding="utf-8")
    rows = list(read_rows(path, bad_rows=StopAtBadRows()))
    assert [(row.labels, row.value) for row in rows] == [(("4",), None), (("1",), None)]
    assert values(path, label="label", task="regression") == [4.0, 1.0]


def test_a_label_column_goes_before_a_column_of_numbers(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label,value\nfine,good,4\n", encoding="utf-8")
    assert open_corpus(path).columns.label == "label"
    assert values(path, task="regression") == [4.0]


@pytest.mark.parametrize(
    "cell", ["nan", "inf", "-Infinity", "1e31", "3,5", "1_000", "high", "", "9" * 400]
)
def test_a_cell_that_is_no_finite_number_is_a_bad_row(tmp_path, cell):
    path = tmp_path / "a.csv"
    path.write_text(f'text,value\nfine,3\npoor,"{cell}"\n', encoding="utf-8")
    with pytest.raises(BadRowsError, match=r"a\.csv: 1 bad row: line 3: .*number"):
        values(path)


def test_a_boolean_is_no_number(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "fine", "value": true}\n', encoding="utf-8")
    with pytest.raises(BadRowsError, match="expected a finite number"):
        values(path)


def test_a_huge_integer_is_a_bad_row():
    table = MemoryTable("rows", ("text", "value"), {"text": ["fine"], "value": [10**400]})
    with pytest.raises(BadRowsError, match=r"expected a finite number such as 3\.5, received"):
        values(table)


def test_a_corpus_without_the_column_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\nfine,3\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="no column 'value'"):
        values(path, task="regression")
