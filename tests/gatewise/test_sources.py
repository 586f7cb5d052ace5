"""The rows of Python callers: what is taken for texts and labels, and what is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix

from gatewise.sources import pair_source, source_of
from gatewise.vocab.corpus.bad_row_policy import BadRowsError, RejectBadRows, StopAtBadRows
from gatewise.vocab.corpus.columns import Columns
from gatewise.vocab.corpus.corpus_reader import open_corpus
from gatewise.vocab.errors import GatewiseError

TEXTS = ["one", "two", "three"]


def rows_of(texts, labels=None, columns=None, known=None, bad_rows=None):
    columns = columns or Columns()
    source = source_of(texts, labels, columns, "training rows")
    return list(open_corpus(source, columns).rows(bad_rows or StopAtBadRows(), known))


def datasets_column(values):
    datasets = pytest.importorskip("datasets")
    return datasets.Dataset.from_dict({"values": values})["values"]


CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "generator": iter,
    "array": np.array,
    "objects": lambda values: np.array(values, dtype=object),
    "series": pd.Series,
    "categorical": pd.Categorical,
    "polars": pl.Series,
    "arrow": pa.array,
    "chunked": lambda values: pa.chunked_array([values[:1], values[1:]]),
    "datasets": datasets_column,
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_kind_of_column_gives_the_same_rows(name):
    make = CONTAINERS[name]
    rows = rows_of(make(TEXTS), make(["a", "b", "a"]))
    assert [(row.text, row.label) for row in rows] == [("one", "a"), ("two", "b"), ("three", "a")]
    assert [str(row.location) for row in rows][1] == "training rows, position 1"
    assert [type(row.text) for row in rows] == [str] * 3
    if name != "categorical":
        assert [row.label for row in rows_of(TEXTS, make([10, 2, 10]))] == ["10", "2", "10"]
        assert [row.label for row in rows_of(TEXTS, make([True, False, True]))][:2] == [
            "True",
            "False",
        ]


@pytest.mark.parametrize(
    "table",
    [
        lambda columns: columns,
        pd.DataFrame,
        pl.DataFrame,
        pa.table,
        pytest.importorskip("datasets").Dataset.from_dict,
    ],
)
def test_a_table_is_read_by_the_names_of_its_columns(table):
    made = table({"id": [1, 2, 3], "text": TEXTS, "label": ["a", "b", "a"], "topic": [1, 2, 3]})
    assert [row.label for row in rows_of(made)] == ["a", "b", "a"]
    assert [row.label for row in rows_of(made, columns=Columns(label="topic"))] == ["1", "2", "3"]
    with pytest.raises(GatewiseError) as caught:
        rows_of(made, columns=Columns(text="body"))
    assert str(caught.value) == (
        "training rows: no column 'body'; the columns are: id, text, label, topic. "
        "Name the text column"
    )
    assert caught.value.option == "text_column"


def test_the_names_of_class_labels_are_those_of_the_data_set():
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["ham", "spam"])}
    )
    made = datasets.Dataset.from_dict({"text": TEXTS, "label": [1, 0, 1]}, features=features)
    assert [row.label for row in rows_of(made)] == ["spam", "ham", "spam"]


def test_lists_and_indicators_are_several_labels():
    expected = [("a", "b"), (), ("b",)]
    matrix = np.array([[1, 1], [0, 0], [0, 1]])
    for labels in (
        [["b", "a"], [], ["b"]],
        pd.Series([["a", "b"], [], ["b"]]),
        pl.Series([["a", "b"], [], ["b"]]),
        pd.DataFrame(matrix, columns=["a", "b"]),
        pl.DataFrame({"a": [True, False, False], "b": [True, False, True]}),
    ):
        assert [row.labels for row in rows_of(TEXTS, labels)] == expected
    for labels in (
        matrix,
        matrix.tolist(),
        (matrix == 1).tolist(),
        list(matrix),
        [list(row) for row in matrix],
        csr_matrix(matrix),
    ):
        assert [row.labels for row in rows_of(TEXTS, labels)] == [("0", "1"), (), ("1",)]
    counts = [{"a": 1, "b": 1}, {}, {"b": 1}]
    assert [row.labels for row in rows_of(TEXTS, counts)] == expected
    # Of different lengths, numbers are labels.
    numbers = rows_of(TEXTS, [[0, 1], [], [1]])
    assert [row.labels for row in numbers] == [("0", "1"), (), ("1",)]


@pytest.mark.parametrize("name", ["validation rows", "test rows", "rows"])
def test_only_training_rows_need_a_row_of_each_label(name):
    columns = Columns()
    source = source_of(TEXTS, np.array([[1, 0], [1, 0], [0, 0]]), columns, name)
    rows = open_corpus(source, columns).rows(StopAtBadRows(), {"0", "1"})
    assert [row.labels for row in rows] == [("0",), ("0",), ()]


def test_rows_of_probabilities_are_soft_labels():
    columns = Columns(probability_prefix="probability_")
    shares = [[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]]
    for labels in (
        pd.DataFrame(shares, columns=["a", "b"]),
        [dict(zip("ab", row, strict=True)) for row in shares],
    ):
        rows = rows_of(TEXTS, labels, columns)
        assert [row.probabilities for row in rows] == [tuple(row) for row in shares]
        assert [row.label for row in rows] == ["b", "a", "a"]
    assert [row.label for row in rows_of(TEXTS, np.array(shares), columns)] == ["1", "0", "0"]
    with pytest.raises(BadRowsError, match=r"position 1: expected the probabilities to add up"):
        rows_of(TEXTS, [[0.5, 0.5], [0.5, 0.6], [0.5, 0.5]], columns)


def test_whole_floats_are_integers_and_a_missing_label_is_a_bad_row():
    assert [row.label for row in rows_of(TEXTS, np.array([1.0, 0.0, 1.0]))] == ["1", "0", "1"]
    with pytest.raises(BadRowsError) as caught:
        rows_of(TEXTS, pd.Series([1, None, 0]))
    assert str(caught.value) == (
        "training rows: 1 bad row: position 1: the label is missing. Fix these rows, or write them "
        "to a rejects file"
    )


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_a_missing_sequence_is_a_bad_row_wherever_it_is(missing):
    for sequences in ([missing, [1], [2]], pd.Series([missing, [1], [2]])):
        with pytest.raises(BadRowsError, match="1 bad row: position 0: the sequence is missing"):
            rows_of(sequences, ["a", "b", "a"])


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (["one", None, "three"], "position 1: the text is missing"),
        (pd.Series(["one", float("nan"), pd.NA]), "position 1: the text is missing; position 2: "),
        (["one", "  ", "three"], "position 1: the text is missing"),
        (
            [b"one", "two", "three"],
            "position 0: expected the text to be a string, received a value",
        ),
        (np.array([1, 2, 3]), "position 0: expected the text to be a string, received a number"),
        (
            ["one", "\ud800", "three"],
            r"position 1: column 'text' holds \\ud800, half of a surrogate",
        ),
    ],
)
def test_texts_that_cannot_be_used_are_bad_rows(texts, reason):
    with pytest.raises(BadRowsError, match=reason) as caught:
        rows_of(texts, ["a", "b", "a"])
    assert isinstance(caught.value, ValueError)


def test_bad_rows_are_written_to_a_rejects_file(tmp_path):
    with RejectBadRows(tmp_path / "rejects.jsonl") as bad_rows:
        rows = rows_of(["one", None, "three"], ["a", "b", "a"], bad_rows=bad_rows)
    assert len(rows) == 2
    line = (tmp_path / "rejects.jsonl").read_text(encoding="utf-8")
    assert line == (
        '{"file": "training rows", "line": 1, "reason": "the text is missing", '
        '"content": "{\\"text\\": null, \\"label\\": \\"b\\"}"}\n'
    )


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        (TEXTS, ["a", "b"], "training rows: expected a label or labels for each text, received 3 "),
        (TEXTS, None, "labels: expected a sequence of labels"),
        ([], [], "training rows: expected one text at least, received none"),
        ("one", ["a"], "texts: expected a sequence of texts, received one string"),
        ({"one", "two"}, ["a", "b"], "texts: expected a sequence of texts, received a value"),
        (pd.DataFrame({"text": TEXTS}), ["a", "b", "c"], "texts: expected one column of texts"),
        (TEXTS, "abc", "labels: expected a sequence of labels"),
        (TEXTS, 3, "labels: expected a sequence of labels"),
        (
            TEXTS,
            ["a", 1, True],
            (
                r"labels: expected labels of one type, received strings \(position 0: 'a'\), "
                r"integers \(position 1: 1\), booleans \(position 2: True\)"
            ),
        ),
        (TEXTS, np.array([[1, 0], [1, 0], [1, 0]]), "labels: expected a row of each label, but"),
        (TEXTS, np.array([[1, 2], [1, 0], [1, 1]]), "labels: position 0: expected 0 or 1 for each"),
        (TEXTS, [[0.5, 0.5], [0.5], [1.0, 0.0]], "labels: position 1: expected 2 numbers"),
        (
            TEXTS,
            [[0.2, 0.8], None, [1.0, 0.0]],
            "labels: position 1: expected 2 numbers, one for each label, received a missing value",
        ),
        (
            TEXTS,
            [{"a": 1.0}, "a", {"b": 1.0}],
            "labels: position 1: expected a mapping of labels, received a value of type str",
        ),
        (
            TEXTS,
            [None, {"a": 1.0}, {"b": 1.0}],
            "labels: position 0: expected a mapping of labels, received a missing value",
        ),
        (TEXTS, {"a", "b", "c"}, "labels: expected .*; received a value of type set"),
        (TEXTS, frozenset("abc"), "labels: expected .*; received a value of type frozenset"),
        (
            pl.DataFrame({"text": TEXTS, "label": TEXTS}).lazy(),
            None,
            r"expected a table in memory, received a LazyFrame: call collect\(\) first",
        ),
        (
            TEXTS,
            [["x\ud83d"], ["y"], ["y"]],
            r"position 0: column 'labels' holds \\ud83d, half of a surrogate pair",
        ),
        (pd.DataFrame({"text": [], "label": []}), None, "training rows: expected one row at least"),
        ({"text": TEXTS, "label": ["a"]}, None, "training rows: expected columns of one length"),
        (pd.DataFrame([TEXTS], columns=["a", "a", "b"]), None, "expected columns with different"),
    ],
)
def test_what_is_not_texts_with_labels_is_refused(texts, labels, message):
    with pytest.raises(GatewiseError, match=message) as caught:
        rows_of(texts, labels)
    assert isinstance(caught.value, ValueError)


def test_an_unknown_label_is_a_bad_row():
    with pytest.raises(BadRowsError, match="position 2: label 'c' was never seen in training"):
        rows_of(TEXTS, ["a", "b", "c"], known={"a", "b"})


def test_validation_rows_are_a_path_a_table_or_a_pair():
    columns = Columns()
    assert pair_source(None, columns, "validation rows") is None
    assert pair_source("a.csv", columns, "validation rows") == Path("a.csv")
    assert pair_source((TEXTS, ["a", "b", "a"]), columns, "validation rows").columns == (
        "text",
        "label",
    )
    with pytest.raises(GatewiseError, match="validation rows: expected a path, a table, or a pair"):
        pair_source([TEXTS, ["a"]], columns, "validation rows")


@pytest.mark.parametrize("kind", [list, np.array, pd.Series])
def test_floats_that_are_not_whole_are_numbers_to_predict(kind):
    found = source_of(["a", "b", "c"], kind([1.0, 2.5, 3.0]), Columns(), "training rows")
    assert found.columns == ("text", "value")
    assert found.values["value"] == [1.0, 2.5, 3.0]


def test_whole_floats_are_labels_unless_the_task_says_otherwise():
    numbers = pd.Series([1, None, 3])  # a missing one makes floats of integers
    assert source_of(["a", "b", "c"], numbers, Columns(), "training rows").values["label"] == [
        *(1, None, 3)
    ]
    regression = Columns(task="regression")
    found = source_of(["a", "b", "c"], numbers, regression, "training rows")
    assert found.values["value"] == [1, None, 3]


def test_labels_in_a_frame_are_converted_whatever_their_column_is_called():
    frame = pd.DataFrame({"text": ["a", "b", "c"], "value": [1.0, None, 3.0]})
    columns = Columns(label="value", task="single_label")
    assert source_of(frame, None, columns, "training rows").values["value"] == [1, None, 3]
    assert source_of(frame, None, Columns(), "training rows").values["value"] == [1.0, None, 3.0]


@pytest.mark.parametrize("kind", ["matrix", "sparse", "lists", "table"])
def test_a_matrix_of_numbers_has_the_columns_that_are_named(kind):
    numbers = [[1.5, 2.0], [3.0, 4.0]]
    given = {
        "matrix": np.array(numbers),
        "sparse": csr_matrix(numbers),
        "lists": numbers,
        "table": pd.DataFrame(numbers),
    }[kind]
    named = source_of(["a", "b"], given, Columns(label="price,age"), "training rows")
    assert {name: list(named.values[name]) for name in ("price", "age")} == {
        "price": [1.5, 3.0],
        "age": [2.0, 4.0],
    }
    unnamed = source_of(["a", "b"], given, Columns(task="regression"), "training rows")
    assert [list(row) for row in unnamed.values["value"]] == numbers
    with pytest.raises(
        GatewiseError, match=r"position 1: expected 2 numbers, .* price, age, received 1"
    ):
        source_of(["a", "b"], [[1.5, 2.0], [3.0]], Columns(label="price,age"), "training rows")


def test_columns_of_numbers_in_a_table_are_found():
    frame = pd.DataFrame({"text": ["a", "b"], "price": [1, 2], "age": [0.5, 1]})
    columns = Columns(label="price,age")
    source = source_of(frame, None, columns, "training rows")
    rows = list(open_corpus(source, columns).rows(StopAtBadRows()))
    assert [row.values for row in rows] == [(1.0, 0.5), (2.0, 1.0)]
