"""The columns that are expected, and those that files have."""

import pytest

from gatewise.vocab.corpus.columns import Columns, FoundColumns
from gatewise.vocab.corpus.record_stream import open_records
from gatewise.vocab.errors import CorpusError


@pytest.fixture
def found(tmp_path):
    def find(*headers, **options):
        for number, header in enumerate(headers):
            (tmp_path / f"{number}.csv").write_text(header + "\n", encoding="utf-8")
        return Columns(**options).found_in(open_records(tmp_path))

    return find


@pytest.mark.parametrize(
    ("header", "options", "label", "task"),
    [
        ("text,label", {}, "label", "single_label"),
        ("text,labels", {}, "labels", "multi_label"),
        ("text,labels,label", {}, "label", "single_label"),
        ("text,label", {"task": "multi_label"}, "label", "multi_label"),
        ("text,labels", {"task": "single_label"}, "labels", "single_label"),
        ("text,topics", {"label": "topics", "task": "multi_label"}, "topics", "multi_label"),
        ("text,value", {}, "value", "regression"),
        ("text,labels,value", {}, "labels", "multi_label"),
        # A column that is named holds labels, and so does every column of a model of labels.
        ("text,value", {"label": "value"}, "value", "single_label"),
        ("text,value,stars", {"label": "stars", "task": "regression"}, "stars", "regression"),
    ],
)
def test_the_label_column_and_the_task(found, header, options, label, task):
    assert found(header, **options) == FoundColumns("text", label, task)


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_a_column_of_numbers_holds_no_labels(found, task):
    with pytest.raises(CorpusError, match=r"no column 'label'; the columns are: text, value"):
        found("text,value", task=task)


def test_a_column_of_numbers_beside_probabilities_is_not_read(found):
    columns = found("text,value,p_a,p_b", probability_prefix="p_")
    assert (columns.labels, columns.task) == (("a", "b"), "single_label")


def test_labels_come_from_the_probability_columns(found):
    columns = found("p_b,text,p_a,other", probability_prefix="p_")
    assert columns.labels == ("a", "b")
    assert (columns.probability_prefix, columns.task) == ("p_", "single_label")
    assert found("p_b,text,p_a,labels", probability_prefix="p_").task == "multi_label"
    names = {"text": "l_text", "label": "l_label"}
    columns = found("l_text,l_label,l_a,l_b", **names, probability_prefix="l_")
    assert columns.labels == ("a", "b")
    # Without such columns the label column is used.
    assert found("text,label", probability_prefix="p_") == FoundColumns(
        "text", "label", "single_label"
    )


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        (("text,class",), r"no column 'label'; the columns are: text, class\."),
        (("text,labels", "text,label"), r"0\.csv: no column 'label'; the columns are: text, la"),
        (("text,p_,p_a",), r"the column 'p_' names no label after 'p_': rename it"),
        (("text,p_a,p_ ",), r"the column 'p_ ' names no label"),
        (("text,p_a",), r"for each of two labels or more, received only 'p_a'"),
        (("text,p_a,p_b", "text,label"), r"1\.csv: no column 'p_a', which another file"),
        (("text,p_a,p_b", "text,p_a,p_b,p_c"), r"0\.csv: no column 'p_c', which another file"),
    ],
)
def test_missing_and_inconsistent_columns(found, headers, message):
    with pytest.raises(CorpusError, match=message):
        found(*headers, probability_prefix="p_")
