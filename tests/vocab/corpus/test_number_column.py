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
    return [row.values for row in rows]


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
    assert values(path) == [(3.5,), (-20.0,)]


@pytest.mark.parametrize(
    "numbers", [[3.5, -20.0], pa.array([Decimal("3.5"), Decimal("-20")], pa.decimal128(5, 1))]
)
def test_numbers_of_parquet(tmp_path, numbers):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["fine", "poor"], "value": numbers}), path)
    assert values(path) == [(3.5,), (-20.0,)]


def test_numbers_stay_labels_unless_the_task_says_otherwise(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\nfine,4\npoor,1\n", encoding="utf-8")
    rows = list(read_rows(path, bad_rows=StopAtBadRows()))
    assert [(row.labels, row.values) for row in rows] == [(("4",), None), (("1",), None)]
    assert values(path, label="label", task="regression") == [(4.0,), (1.0,)]


def test_a_label_column_goes_before_a_column_of_numbers(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label,value\nfine,good,4\n", encoding="utf-8")
    assert open_corpus(path).columns.label == "label"
    assert values(path, task="regression") == [(4.0,)]


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


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'text,values\nfine,"[3.5, 2]"\npoor,"[-2e1,0]"\n'),
        ("a.jsonl", '{"text": "fine", "values": [3.5, 2]}\n{"text": "poor", "values": [-20, 0]}\n'),
        (
            "b.jsonl",
            '{"text": "fine", "values": "[3.5, 2]"}\n{"text": "poor", "values": [-20, 0]}\n',
        ),
    ],
)
def test_a_column_called_values_holds_lists_of_numbers(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    assert open_corpus(path).columns.task == "regression"
    rows = list(read_rows(path, bad_rows=StopAtBadRows()))
    assert [row.values for row in rows] == [(3.5, 2.0), (-20.0, 0.0)]
    assert {row.labels for row in rows} == {("value_1", "value_2")}


def test_a_list_of_one_number_is_that_number(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["fine"], "values": [[3.5]]}), path)
    (row,) = read_rows(path, bad_rows=StopAtBadRows())
    assert (row.values, row.labels) == ((3.5,), ("value",))


def test_several_columns_hold_a_number_each(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,age,label,price\nfine,2,x,3.5\npoor,0,y,-2e1\n", encoding="utf-8")
    columns = Columns(label="price, age")
    rows = list(read_rows(path, bad_rows=StopAtBadRows(), columns=columns))
    assert [row.values for row in rows] == [(3.5, 2.0), (-20.0, 0.0)]
    assert {row.labels for row in rows} == {("price", "age")}
    assert open_corpus(path, columns).columns.task == "regression"
    # The numbers of a model, in its order, by the names of their columns.
    named = Columns(task="regression", names=("age", "price"))
    rows = read_rows(path, bad_rows=StopAtBadRows(), columns=named, known_labels=["age", "price"])
    assert [row.values for row in rows] == [(2.0, 3.5), (0.0, -20.0)]


def test_a_column_with_a_comma_in_its_name_is_one_column(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("text\ta,b\ta\tb\nfine\tx\t1\t2\n", encoding="utf-8")
    (row,) = read_rows(path, bad_rows=StopAtBadRows(), columns=Columns(label="a,b"))
    assert row.labels == ("x",)


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("price,age", "no column 'age'; the columns are: text, price"),
        ("price,price", "every label or number and the weight, received 'price' for two of them"),
        ("text", "a column each for the text, every label .* received 'text' for two of them"),
    ],
)
def test_columns_of_numbers_that_are_missing_or_named_twice_are_refused(tmp_path, label, reason):
    path = tmp_path / "a.csv"
    path.write_text("text,price\nfine,3\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=reason) as caught:
        open_corpus(path, Columns(label=label))
    assert caught.value.option == "label_column"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([1, None], "column 'values': number 2 of 2: the number is missing"),
        ([1, "x"], "column 'values': number 2 of 2: expected a finite number such as 3.5"),
        ([1, float("nan")], "column 'values': number 2 of 2: expected a finite number"),
        ([1, 2e30], r"column 'values': number 2 of 2: expected a number of at most 1e\+30"),
        ([1], "column 'values': expected 2 in every row, received a list of 1"),
        ([1, 2, 3], "column 'values': expected 2 in every row, received a list of 3"),
        ([], "column 'values': expected 2 in every row, received a list of 0"),
        (3, "column 'values': expected 2 in every row, received a number"),
        ("[1 2]", r"column 'values': expected a finite number such as 3.5, received '\[1 2\]'"),
        (None, "column 'values': the number is missing"),
    ],
)
def test_a_row_with_other_numbers_than_the_first_is_a_bad_row(value, reason):
    table = MemoryTable(
        "rows", ("text", "values"), {"text": ["fine", "poor"], "values": [[1, 2], value]}
    )
    with pytest.raises(BadRowsError, match=f"position 1: {reason}"):
        values(table)


def test_a_missing_number_of_a_column_is_told_with_the_column(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,price,age\nfine,3,\n", encoding="utf-8")
    with pytest.raises(BadRowsError, match=r"line 2: column 'age': the number is missing"):
        values(path, label="price,age")


@pytest.mark.parametrize("weight", ["text", "value", "a"])
def test_weights_in_a_column_of_something_else_are_refused(tmp_path, weight):
    path = tmp_path / "a.csv"
    path.write_text("text,value,a\nfine,3,1\n", encoding="utf-8")
    label = "value,a" if weight == "a" else None
    with pytest.raises(CorpusError, match=f"the weight, received '{weight}' for two") as caught:
        open_corpus(path, Columns(label=label, weight=weight))
    assert caught.value.option == "weight_column"


def test_weights_that_are_all_zero_are_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,value,w\nfine,3,0\npoor,1,0.0\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="column 'w': expected a weight above zero") as caught:
        values(path, weight="w")
    assert caught.value.option == "weight_column"
