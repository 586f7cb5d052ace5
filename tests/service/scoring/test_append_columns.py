"""Answers behind rows as they stand: whatever can be read is still what it was."""

import csv
import io
import json

import numpy as np
import pytest
from gatewise.service.scoring import append_columns, row_format
from hypothesis import given
from hypothesis import strategies as st

SCORE = np.array([0.9], dtype=np.float32)
CELL = st.text(st.characters(codec="utf-8"), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | CELL,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(CELL, inner, max_size=3),
    max_leaves=6,
)


@given(cells=st.lists(CELL, min_size=2, max_size=4), label=CELL, delimiter=st.sampled_from(",\t"))
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_cells_come_behind_a_row(cells, label, delimiter, end) -> None:
    raw = row_format.delimited([cells], delimiter)[:-1] + end
    line = append_columns.delimited([raw], [[label], SCORE], delimiter)
    assert line.endswith("\n")
    (row,) = csv.reader(io.StringIO(line, newline=""), delimiter=delimiter, strict=True)
    assert row == [*cells, label, "0.9"]


@given(values=st.dictionaries(CELL, JSON, max_size=4), label=CELL)
@pytest.mark.parametrize("indent", ["", "  "])
def test_keys_come_behind_an_object(values, label, indent) -> None:
    values = {key: value for key, value in values.items() if key not in ("label", "score")}
    raw = f"{indent}{json.dumps(values, ensure_ascii=False)} \r\n"
    line = append_columns.json_lines([raw], ["label", "score"], [[label], SCORE])
    assert line.count("\n") == 1
    assert json.loads(line) == {**values, "label": label, "score": 0.9}
    assert list(json.loads(line))[-2:] == ["label", "score"]


def test_nothing_of_a_row_is_written_anew() -> None:
    raw = '{ "n": 1.10,"big":1E5, "s": "\\u00e9" }\n'
    assert append_columns.json_lines([raw], ["label"], [["a"]]) == (
        '{ "n": 1.10,"big":1E5, "s": "\\u00e9", "label": "a"}\n'
    )
    assert append_columns.delimited(['"x",1.10\r\n'], [["a,b"]], ",") == '"x",1.10,"a,b"\n'


def test_lists_and_nothing_are_values_too() -> None:
    line = append_columns.json_lines(["{}"], ["labels", "scores"], [[["a"]], [[0.5]]])
    assert line == '{"labels": ["a"], "scores": [0.5]}\n'
    assert append_columns.delimited(["x"], [[""], ["a|b"]], ",") == "x,,a|b\n"
