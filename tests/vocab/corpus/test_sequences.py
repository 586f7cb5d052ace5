"""Sequences of numbers: what is one, and what is refused."""

import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gatewise.vocab.corpus.bad_row_policy import BadRowsError, CountBadRows, StopAtBadRows
from gatewise.vocab.corpus.columns import Columns
from gatewise.vocab.corpus.corpus_reader import open_corpus, read_rows
from gatewise.vocab.corpus.sequences import as_json, as_numbers, as_sequences, as_steps
from gatewise.vocab.errors import CorpusError, SequenceError

GOOD = {
    "numbers": ([1, 2.5], [[1.0], [2.5]]),
    "vectors": ([[1, 2], [3, 4]], [[1.0, 2.0], [3.0, 4.0]]),
    "a tuple of arrays": ((np.array([1, 2]), np.array([3, 4])), [[1.0, 2.0], [3.0, 4.0]]),
    "an array of integers": (np.arange(4).reshape(2, 2), [[0.0, 1.0], [2.0, 3.0]]),
    "an array of objects": (np.array([1, 2.0], dtype=object), [[1.0], [2.0]]),
    "scalars of NumPy": ([np.float64(1), np.int8(2)], [[1.0], [2.0]]),
    "JSON": ("[[1, 2.5]]", [[1.0, 2.5]]),
    "decimals": ([Decimal("1.5"), 2], [[1.5], [2.0]]),
    "a scalar of Arrow": (pa.scalar([1.0, 2.0]), [[1.0], [2.0]]),
}


@pytest.mark.parametrize(("value", "expected"), GOOD.values(), ids=GOOD)
def test_lists_and_arrays_are_sequences(value, expected):
    found = as_numbers(value)
    assert (found.dtype, found.tolist()) == (np.float32, expected)
    again = as_numbers(as_json(value))
    np.testing.assert_array_equal(again, found)


@pytest.mark.parametrize("value", [[1, None, 3], [1, math.nan, 3], "[1, null, 3]"])
def test_null_and_nan_are_missing(value):
    found = as_numbers(value)
    assert np.isnan(found[:, 0]).tolist() == [False, True, False]
    assert as_json(value) == "[1.0, null, 3.0]"


@pytest.mark.parametrize("numbers", [[1, 2, 3], [1.0, 2.0, 3.0]])
def test_a_number_that_is_masked_is_missing(numbers):
    assert as_json(np.ma.array(numbers, mask=[0, 1, 0])) == "[1.0, null, 3.0]"


def nested(depth):
    value = [1.0]
    for _ in range(depth):
        value = [value]
    return value


BAD = {
    "a text": ("who wrote it", "list of numbers, null for a missing one.*the text 'who wrote it'"),
    "NaN in JSON": ("[1, NaN]", "list of numbers, null for a missing one.*text '\\[1, NaN\\]'"),
    "a number": (3.0, r"expected a list of numbers or of vectors, received 3\.0"),
    "a string in it": (
        [1.0, "2"],
        "step 1, counted from 0: expected a number or null, received '2'",
    ),
    "a boolean": ([[1, 2], [3, True]], "step 1.*expected a number or null, received True"),
    "vectors of other widths": ([[1, 2], [3]], "step 1.*expected a vector of 2 numbers.*one of 1"),
    "numbers and vectors": ([1, [2]], "received some of both"),
    "infinity": ([0, math.inf], "step 1, counted from 0: expected a finite number"),
    "more than 32 bits": ([1e39], r"step 0.*expected a finite number of 32 bits.*received 1e\+39"),
    "more than 64 bits": ([10**400], "expected finite numbers"),
    "nothing": ([], "the sequence is empty"),
    "empty vectors": ([[], []], "the sequence is empty"),
    "a deeper list": ([[[1.0]]], "expected a number or null, received"),
    "a list too deep to print": (nested(10_000), "received a value of type list"),
    "an integer too long to print": ([[[10**5000]]], "received a value of type list"),
    "a matrix too many": (np.zeros((2, 2, 2)), "expected a number or null, received"),
    "too wide a vector": (
        np.zeros((1, 65_537)),
        "at most 65,536 numbers, received vectors of 65537",
    ),
    "an object": ({"a": 1}, "expected a list of numbers or of vectors"),
}


@pytest.mark.parametrize(("value", "message"), BAD.values(), ids=BAD)
def test_others_are_refused_in_one_line(value, message):
    with pytest.raises(SequenceError, match=message) as caught:
        as_numbers(value)
    assert "\n" not in str(caught.value)


def test_a_model_reads_steps_of_one_width():
    with pytest.raises(SequenceError, match="expected vectors of 2 numbers, received numbers"):
        as_numbers([1.0, 2.0], 2)
    with pytest.raises(SequenceError, match="expected numbers, received vectors of 3 numbers"):
        as_numbers([[1.0, 2.0, 3.0]], 1)


def test_sequences_of_a_caller_are_named_by_position():
    found = as_sequences(np.arange(12.0).reshape(2, 3, 2), 2)
    assert [each.shape for each in found] == [(3, 2), (3, 2)]
    with pytest.raises(SequenceError, match="sequence 1, counted from 0: the sequence is empty"):
        as_sequences([[1.0], []], 1)
    with pytest.raises(SequenceError, match=r"sequence 0.*a list of sequences has a list"):
        as_sequences([1.0, 2.0], 1)
    for wrong in ("abc", {"a": [1]}, 3):
        with pytest.raises(SequenceError, match="expected a list of sequences of numbers"):
            as_sequences(wrong, 1)
    with pytest.raises(SequenceError):
        as_sequences([None], 1)
    for missing in (None, math.nan):
        assert as_sequences([missing], 2, may_be_missing=True)[0].shape == (0, 2)


def lines(tmp_path, *rows):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_a_column_sequence_is_read_where_there_is_no_text(tmp_path):
    path = lines(
        tmp_path, '{"sequence": [1, null], "label": "a"}', '{"sequence": [2], "label": "b"}'
    )
    assert open_corpus(path).columns.input == "sequence"
    rows = list(read_rows(path, bad_rows=StopAtBadRows()))
    assert [row.text for row in rows] == ["[1.0, null]", "[2.0]"]
    both = lines(tmp_path, '{"sequence": [1], "text": "x", "label": "a"}')
    assert open_corpus(both).columns.input == "text"
    without = lines(tmp_path, '{"sequence": [1], "label": "a"}')
    with pytest.raises(CorpusError, match="no column 'text'"):
        open_corpus(without, Columns(input="text"))


def test_a_cell_of_a_csv_file_holds_json_and_texts_have_a_way_out(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('sequence,label\n"[[1, 2], [3, null]]",a\n', encoding="utf-8")
    (row,) = read_rows(path, bad_rows=StopAtBadRows())
    assert row.text == "[[1.0, 2.0], [3.0, null]]"
    path.write_text("sequence,label\nACGT,a\n", encoding="utf-8")
    with pytest.raises(BadRowsError) as caught:
        list(read_rows(path, bad_rows=StopAtBadRows()))
    message = (
        "expected a list of numbers, null for a missing one, received the text 'ACGT': a list is "
        "JSON; to read texts, set corpus.text_column=sequence and corpus.input=text"
    )
    assert message in str(caught.value)
    columns = Columns("sequence", input="text")
    (row,) = read_rows(path, bad_rows=StopAtBadRows(), columns=columns)
    assert (row.text, open_corpus(path, columns).columns.input) == ("ACGT", "text")


def test_another_column_is_one_of_sequences_by_setting(tmp_path):
    path = lines(tmp_path, '{"steps": [[1, 2]], "label": "a"}')
    (row,) = read_rows(path, bad_rows=StopAtBadRows(), columns=Columns("steps", input="sequence"))
    assert row.text == "[[1.0, 2.0]]"


def test_the_first_row_sets_the_width_and_bad_rows_are_named(tmp_path):
    path = lines(
        tmp_path,
        '{"sequence": "none", "label": "a"}',
        '{"sequence": [[1, 2]], "label": "a"}',
        '{"sequence": [1, 2], "label": "a"}',
        '{"sequence": null, "label": "a"}',
        '{"sequence": [[3, 4]], "label": "b"}',
    )
    bad = CountBadRows()
    rows = list(read_rows(path, bad_rows=bad))
    assert [row.label for row in rows] == ["a", "b"]
    assert (bad.count, bad.first.location.line) == (3, 1)
    with pytest.raises(CorpusError, match="holds no rows"):
        list(open_corpus(path).rows(CountBadRows(), features=3))


def test_a_step_may_be_a_column_of_a_data_frame():
    frame = pd.DataFrame({"x": [1.0, np.nan], "y": [2.0, 3.0]})
    steps = [step for _, step in frame.iterrows()]
    np.testing.assert_array_equal(as_numbers(steps), frame.to_numpy(np.float32))
    np.testing.assert_array_equal(as_steps(steps[0], 2), [[1, 2]])
    with pytest.raises(SequenceError) as caught:
        as_numbers(pa.schema([("x", pa.int8()), ("y", pa.int8())]))
    assert "\n" not in str(caught.value)
