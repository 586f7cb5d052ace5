"""The columns that are expected, and those that files have."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gatewise.vocab.corpus.columns import Columns, FoundColumns
from gatewise.vocab.corpus.record_stream import open_records
from gatewise.vocab.errors import CorpusError


@pytest.fixture
def found(tmp_path: Path) -> Callable[..., FoundColumns]:
    def find(*headers: str, **options: object) -> FoundColumns:
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
    ],
)
def test_the_label_column_and_the_task(found, header: str, options, label: str, task: str) -> None:
    assert found(header, **options) == FoundColumns("text", label, task)


def test_a_missing_label_column_is_named(found) -> None:
    with pytest.raises(CorpusError, match=r"no column 'label'; the columns are: text, class\."):
        found("text,class")
    with pytest.raises(CorpusError, match=r"0\.csv: no column 'label'; the columns are: text, la"):
        found("text,labels", "text,label")


def test_labels_come_from_the_probability_columns(found) -> None:
    columns = found("p_b,text,p_a,other", probability_prefix="p_")
    assert columns.labels == ("a", "b")
    assert (columns.probability_prefix, columns.task) == ("p_", "single_label")
    assert found("p_b,text,p_a,labels", probability_prefix="p_").task == "multi_label"


def test_text_and_label_are_no_probability_columns(found) -> None:
    columns = found(
        "l_text,l_label,l_a,l_b", text="l_text", label="l_label", probability_prefix="l_"
    )
    assert columns.labels == ("a", "b")


def test_without_probability_columns_the_label_column_is_used(found) -> None:
    assert found("text,label", probability_prefix="p_") == FoundColumns(
        "text", "label", "single_label"
    )
    with pytest.raises(CorpusError, match="no column 'label'"):
        found("text", probability_prefix="p_")


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        (("text,p_,p_a",), r"the column 'p_' names no label after 'p_': rename it"),
        (("text,p_a,p_ ",), r"the column 'p_ ' names no label"),
        (("text,p_a",), r"for each of two labels or more, received only 'p_a'"),
        (("text,p_a,p_b", "text,label"), r"1\.csv: no column 'p_a', which another file"),
        (("text,p_a,p_b", "text,p_a,p_b,p_c"), r"0\.csv: no column 'p_c', which another file"),
    ],
)
def test_inconsistent_probability_columns(found, headers, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        found(*headers, probability_prefix="p_")
