"""Excel workbooks: sheets, kinds of cells, headers, and what is refused."""

import builtins
import datetime
from pathlib import Path

import pytest

from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import read_rows
from gatewise.vocab.corpus.data_files import DataFile
from gatewise.vocab.corpus.read_options import ReadOptions
from gatewise.vocab.corpus.record_stream import open_records
from gatewise.vocab.corpus.records import BadRow, Record
from gatewise.vocab.errors import ArgumentError, CorpusError

openpyxl = pytest.importorskip("openpyxl")
pytest.importorskip("python_calamine")

ORDERS = [["text", "label", "paid"], ["Größe passt nicht", "a", True], ["zu spät", 2, 1.5]]


@pytest.fixture
def workbook(tmp_path: Path):
    def write(**sheets: list[list[object]]) -> Path:
        book = openpyxl.Workbook()
        book.remove(book.active)
        for name, rows in sheets.items():
            sheet = book.create_sheet(name)
            for row in rows:
                sheet.append(row)
        book.save(tmp_path / "a.xlsx")
        return tmp_path / "a.xlsx"

    return write


def test_cells_have_their_kinds_and_rows_their_numbers(workbook) -> None:
    day = datetime.datetime(2026, 11, 29, 20, 51)
    path = workbook(Orders=[[], *ORDERS, [], ["x", None, day], [None, "b", 3.0]])
    records = open_records(path)
    assert records.tables[0].columns == ("text", "label", "paid")
    assert [(item.location.place, list(item.values.values())) for item in records] == [
        ("row 3", ["Größe passt nicht", "a", True]),
        ("row 4", ["zu spät", 2, 1.5]),
        ("row 6", ["x", None, day]),
        ("row 7", [None, "b", 3]),
    ]
    assert records.notes == ()


def test_rows_of_a_corpus(workbook) -> None:
    rows = read_rows(workbook(Orders=ORDERS), bad_rows=StopAtBadRows())
    assert [(row.text, row.label) for row in rows] == [("Größe passt nicht", "a"), ("zu spät", "2")]


def test_the_first_sheet_is_read_and_the_others_are_named(workbook) -> None:
    path = workbook(Orders=ORDERS, More=[["text"], ["x"]], Rest=[])
    records = open_records(path)
    assert records.notes == (
        f"{path}: the first sheet, 'Orders', is read; the others are 'More', 'Rest'",
    )
    assert len(list(records)) == 2
    more = open_records(path, options=ReadOptions(sheet="More"))
    assert (more.notes, [record.values for record in more]) == ((), [{"text": "x"}])
    with pytest.raises(CorpusError) as caught:
        open_records(path, options=ReadOptions(sheet="orders"))
    assert str(caught.value) == (
        f"{path}: no sheet 'orders'; the sheets are: 'Orders', 'More', 'Rest'"
    )
    assert caught.value.option == "sheet"


def test_a_cell_beyond_the_header_makes_a_bad_row(workbook) -> None:
    first, second = open_records(workbook(A=[["text", "label"], ["x", "a", "?"], ["y", "b"]]))
    assert isinstance(first, BadRow)
    assert first.reason == "expected 2 cells, received 3"
    assert isinstance(second, Record)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], r"a\.xlsx: the sheet is empty; expected a header row"),
        ([["text", "text"]], r"a\.xlsx, row 1: the header names the column 'text' more than once"),
        ([[], ["text", None, "label"]], r"a\.xlsx, row 2: the header has an empty cell"),
    ],
)
def test_unusable_headers(workbook, rows: list[list[object]], reason: str) -> None:
    with pytest.raises(CorpusError, match=reason):
        open_records(workbook(A=rows))


def test_what_is_no_workbook_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_text("text,label\nx,a\n")
    with pytest.raises(CorpusError, match=r"a\.xlsx: cannot be read as an Excel workbook: "):
        open_records(tmp_path / "a.xlsx")
    with pytest.raises(CorpusError, match=r"a\.xlsx\.gz: Excel compresses its own contents"):
        DataFile.named("a.xlsx.gz")
    with pytest.raises(ArgumentError, match="standard input: Excel needs random access"):
        open_records("-", standard_input="xlsx")


def test_a_missing_package_names_its_extra(workbook, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real = workbook(A=ORDERS), builtins.__import__

    def without(name: str, *arguments: object, **options: object) -> object:
        if name == "python_calamine":
            raise ModuleNotFoundError(name=name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CorpusError) as caught:
        open_records(path)
    assert str(caught.value) == (
        f"{path}: Excel files need the package 'python-calamine', which is not installed: run pip "
        "install 'gatewise[excel]'"
    )
