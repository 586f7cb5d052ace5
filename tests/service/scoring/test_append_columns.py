"""Appended columns leave the original text of a row unchanged."""

import csv
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewise.service.scoring import row_format
from gatewise.service.scoring.append_columns import append_cells, append_keys

SCORE = np.array([0.9], dtype=np.float32)
CELL = st.text(st.characters(codec="utf-8"), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | CELL,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(CELL, inner, max_size=3),
    max_leaves=6,
)


@given(cells=st.lists(CELL, min_size=2, max_size=4), label=CELL, delimiter=st.sampled_from(",\t"))
@pytest.mark.parametrize("end", ["\r\n", ""])
def test_cells_are_appended_to_any_row(cells, label, delimiter, end):
    raw = row_format.delimited([cells], delimiter)[:-1] + end
    line = append_cells([raw], [[label], SCORE], delimiter)
    assert line.endswith("\n")
    (row,) = csv.reader(io.StringIO(line, newline=""), delimiter=delimiter, strict=True)
    assert row == [*cells, label, "0.9"]


@given(values=st.dictionaries(CELL, JSON, max_size=4), label=CELL)
def test_keys_are_appended_to_any_object(values, label):
    values = {key: value for key, value in values.items() if key not in ("label", "score")}
    raw = f"  {json.dumps(values, ensure_ascii=False)} \r\n"
    line = append_keys([raw], ["label", "score"], [[label], SCORE])
    assert line.count("\n") == 1
    assert json.loads(line) == {**values, "label": label, "score": 0.9}
    assert list(json.loads(line))[-2:] == ["label", "score"]


def test_text_of_a_row_is_not_changed():
    raw = '{ "n": 1.10,"big":1E5, "s": "\\u00e9" }\n'
    assert append_keys([raw], ["label"], [["a"]]) == (
        '{ "n": 1.10,"big":1E5, "s": "\\u00e9", "label": "a"}\n'
    )
    assert append_cells(['"x",1.10\r\n'], [["a,b"]], ",") == '"x",1.10,"a,b"\n'


def test_lists_and_empty_values():
    line = append_keys(["{}"], ["labels", "scores"], [[["a"]], [[0.5]]])
    assert line == '{"labels": ["a"], "scores": [0.5]}\n'
    assert append_cells(["x"], [[""], ["a|b"]], ",") == "x,,a|b\n"
