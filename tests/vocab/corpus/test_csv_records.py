"""CSV and TSV: round trips, line numbers, and recovery from malformed quotes."""

import csv
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewise.vocab.corpus import csv_records
from gatewise.vocab.corpus.csv_records import columns_of, records_of
from gatewise.vocab.corpus.data_files import DataFile
from gatewise.vocab.corpus.read_options import ReadOptions
from gatewise.vocab.corpus.record_stream import open_records
from gatewise.vocab.corpus.records import BadRow
from gatewise.vocab.errors import CorpusError


def read(path):
    """The good rows and the bad rows of a file, each with its line."""
    good, bad = [], []
    for item in records_of(DataFile.named(path)):
        if isinstance(item, BadRow):
            bad.append((item.location.line, item.reason, item.content))
        else:
            good.append((item.location.line, list(item.values.values())))
    return good, bad


@pytest.fixture
def data(tmp_path):
    def write(content, name="a.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


CELL = st.text(st.characters(codec="utf-8"), max_size=12)


@settings(max_examples=60)
@given(
    rows=st.lists(st.tuples(CELL, CELL), max_size=8),
    tabs=st.booleans(),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_csv_is_read_as_it_was_written(rows, tabs, quoting):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.tsv" if tabs else "a.csv")
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, delimiter="\t" if tabs else ",", quoting=quoting)
            writer.writerow(["text", "label"])
            writer.writerows(rows)
        good, bad = read(path)
    assert [tuple(values) for _, values in good] == rows
    assert bad == []


def test_a_record_has_the_line_that_it_starts_on(data):
    path = data('\ufefftext,label\r\n"two\r\nlines",a\r\n\r\n   \r\nx,b\r\n"\n\n",c\r\ny,d')
    assert columns_of(DataFile.named(path)) == ("text", "label")
    assert read(path) == (
        [(2, ["two\r\nlines", "a"]), (6, ["x", "b"]), (7, ["\n\n", "c"]), (10, ["y", "d"])],
        [],
    )


UNCLOSED = "a quote is opened and not closed correctly"


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ('"never closed,a', UNCLOSED),
        ('x,"never closed', UNCLOSED),
        ('"closed" too early,a', "a quoted cell has text after its closing quote"),
        ("a\rb,c", "a carriage return outside quotes; lines should end in LF or CRLF"),
        ("only", "expected 2 cells, received 1"),
        ('"a\nb\0",c,d', "expected 2 cells, received 3"),
    ],
)
def test_a_malformed_record_makes_one_bad_row(data, broken, reason):
    lines = ["text,label", "one,a", broken, "two,b", '"three, ""quoted""",c', "four,d", ""]
    after = 4 + broken.count("\n")
    good = [["one", "a"], ["two", "b"], ['three, "quoted"', "c"], ["four", "d"]]
    places = [2, after, after + 1, after + 2]
    expected = list(zip(places, good, strict=True)), [(3, reason, broken)]
    assert read(data("\r\n".join(lines))) == expected


def test_every_line_may_be_bad(data):
    good, bad = read(data("text,label\n" + '"x,a\n' * 500))
    assert good == []
    assert [line for line, _, _ in bad] == list(range(2, 502))


@pytest.mark.parametrize("limit", ["RECORD_LIMIT", "RECORD_LINES"])
def test_a_quote_that_is_open_for_too_long_is_malformed(data, monkeypatch, limit):
    monkeypatch.setattr(csv_records, limit, 1000)
    rows = [f"text {number},a" for number in range(2000)]
    good, bad = read(data("\n".join(["text,label", '"open,a', *rows, 'x,"', ""])))
    assert [line for line, _ in good] == list(range(3, 2003))
    assert [line for line, _, _ in bad] == [2, 2003]


def test_a_line_beyond_all_measure_ends_the_reading(data, monkeypatch):
    monkeypatch.setattr("gatewise.vocab.corpus.data_files.LINE_LIMIT", 100)
    monkeypatch.setattr(csv_records, "LINE_LIMIT", 100)
    with pytest.raises(CorpusError, match=r"a\.csv, line 3: longer than"):
        read(data("text,label\nx,y\n" + "z" * 200))


def test_stray_bytes_are_named_with_their_column(data):
    path = data(b"text,label\nfine,a\ncaf\xe9,b\nx,\xff\nfine,c\n")
    good, bad = read(path)
    assert [line for line, _ in good] == [2, 5]
    assert bad == [
        (3, "column 'text' holds the byte 0xe9, which is not UTF-8", "caf\udce9,b"),
        (4, "column 'label' holds the byte 0xff, which is not UTF-8", "x,\udcff"),
    ]


def test_a_text_may_be_very_long(data):
    length = 2_000_000
    good, bad = read(data(f'text,label\n"{"é " * (length // 2)}",a\nx,b\n'))
    assert [(line, len(values[0])) for line, values in good] == [(2, length), (3, 1)]
    assert bad == []


def test_blank_lines_of_a_single_column_are_no_records(data):
    assert read(data('\n \ntext\na\n\n  \n""\nb\n')) == ([(4, ["a"]), (7, [""]), (8, ["b"])], [])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("\n\n", "a.csv: the file is empty; expected a header line"),
        ("a,b,a\n1,2,3\n", "a.csv, line 1: the header names the column 'a' more than once"),
        ('\na,"b\n1,2\n', f"a.csv, line 2: the header cannot be read: {UNCLOSED}"),
        ("text,label\n".encode("utf-16"), "a.csv, line 1: the header is not UTF-8"),
        ("text,label\rx,y\r", "lines should end in LF or CRLF"),
    ],
)
def test_an_unusable_header_is_an_error(data, content, reason):
    file = DataFile.named(data(content))
    with pytest.raises(CorpusError) as caught:
        columns_of(file)
    assert reason in str(caught.value)
    with pytest.raises(CorpusError):
        list(records_of(file))


UNQUOTED = 'id\ttext\n1\tlate parcel\n2\t"refund my invoice\n3\tscreen crash\n4\tupdate "error"\n'


def test_tsv_without_quotes_is_found_out(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text(UNQUOTED)
    records = open_records(path)
    texts = [record.values["text"] for record in records]
    assert texts == ["late parcel", '"refund my invoice', "screen crash", 'update "error"']
    assert "quotes as characters like others" in records.notes[0]


def test_tsv_with_quoted_cells_is_read_as_such(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text('id\ttext\n1\t"late\nparcel"\n2\t"a\tb"\n3\t"said ""no"""\n')
    records = open_records(path)
    assert [record.values["text"] for record in records] == ["late\nparcel", "a\tb", 'said "no"']
    assert not records.notes


def test_quoted_cell_of_rows_beyond_the_first_lines_is_bad(tmp_path):
    path = tmp_path / "a.tsv"
    rows = "0\tplain text\n" * 30_000 + '1\t"refund\n2\tcrash\n3\terror"\n'
    path.write_text("id\ttext\n" + rows)
    items = list(open_records(path))
    assert len(items) == 30_003
    (bad,) = [item for item in items if isinstance(item, BadRow)]
    assert "each of its lines is a row by itself" in bad.reason
    assert bad.location.line == 30_002


@pytest.mark.parametrize("quoting", ["double", "none"])
def test_quoting_is_set(tmp_path, quoting):
    path = tmp_path / "a.csv"
    path.write_text('text,n\n"hello",1\n')
    (record,) = open_records(path, options=ReadOptions(quoting=quoting))
    assert record.values["text"] == ("hello" if quoting == "double" else '"hello"')


def test_separator_line_names_the_delimiter(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("sep=|\ntext|label\na,b,c|en\nd,e,f|fr\n")
    (table,) = open_records(path).tables
    assert table.columns == ("text", "label")
    assert [(r.values["text"], r.location.line) for r in table.records()] == [
        ("a,b,c", 3),
        ("d,e,f", 4),
    ]


def test_empty_cells_of_the_header_are_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label,,\nhello,en,,\n")
    with pytest.raises(CorpusError, match=r"2 cells of the header are empty, .* columns 3, 4"):
        open_records(path)
