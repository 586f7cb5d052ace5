"""The files of paths, folders, patterns and URIs."""

import io
import os
import sys

import pytest

from gatewise.vocab.corpus.data_files import Format
from gatewise.vocab.corpus.input_files import data_files
from gatewise.vocab.errors import ArgumentError, CorpusError


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A folder with files in folders, which is the working directory."""
    for name in ("b.csv", "a.csv", "c.tsv.gz", ".h.csv", "d-1/x.csv", "d/x.csv", "d/.h/y.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*inputs):
    return [str(file) for file in data_files(*inputs)]


def test_other_inputs_are_refused_in_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "mixed").mkdir()
    (tmp_path / "mixed" / "notes.md").write_text("x")
    (tmp_path / "nested" / "deeper").mkdir(parents=True)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.csv").symlink_to("nowhere.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    for name, reason in {
        "missing.csv": "no such file or folder",
        "empty": "the folder holds no data files",
        "mixed": "notes.md: unknown kind of file",
        "nested": "deeper: a folder inside the corpus folder",
        "broken": "a.csv: no such file or folder",
        "pipe.csv": "neither a file nor a folder",
    }.items():
        with pytest.raises(CorpusError, match=reason) as caught:
            data_files(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert name in str(caught.value)
    with pytest.raises(CorpusError, match=r"ftp:// is not supported. Expected s3://"):
        data_files("ftp://host/a.csv")


@pytest.mark.parametrize("base", ["", "file://{tree}/"])
@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.csv", ["a.csv", "b.csv"]),
        ("[ac].*", ["a.csv", "c.tsv.gz"]),
        (".*.csv", [".h.csv"]),
        ("d*/x.csv", ["d/x.csv", "d-1/x.csv"]),
        ("**/x.csv", ["d/x.csv", "d-1/x.csv"]),
        ("d/**", ["d/x.csv"]),
        ("**/*.csv", ["a.csv", "b.csv", "d/x.csv", "d-1/x.csv"]),
        ("d/**/x.csv", ["d/x.csv"]),
    ],
)
def test_a_pattern_is_the_files_that_match_it_sorted(tree, base, pattern, expected):
    base = base.format(tree=tree)
    assert names(base + pattern) == [base + name for name in expected]


def test_a_question_mark_in_a_pattern(tree):
    assert names("?.csv") == ["a.csv", "b.csv"]
    # In a URI it would begin the options.
    assert names(f"file://{tree}/%3F.csv") == [f"file://{tree}/a.csv", f"file://{tree}/b.csv"]
    with pytest.raises(CorpusError, match=r"after the question mark.*is written %3F in a URI"):
        data_files(f"file://{tree}/?.csv")


@pytest.mark.parametrize("base", ["", "file://{tree}/"])
def test_an_existing_name_is_no_pattern_and_a_pattern_needs_files(tree, base):
    (tree / "[ab].csv").write_text("x")
    (tree / "50% #1 é.csv").write_text("x")
    base = base.format(tree=tree)
    assert names(base + "[ab].csv") == [base + "[ab].csv"]
    assert [file.size for file in data_files(base + "50% #1 é.csv")] == [1]
    assert [file.size for file in data_files(base + "50%*")] == [1]
    with pytest.raises(CorpusError, match=r"z\*\.csv: no file has this name or matches it"):
        data_files(base + "z*.csv")
    with pytest.raises(CorpusError, match=r"d: a folder that matches .*\*; expected files only"):
        data_files(base + "*")


def test_files_are_in_the_order_of_the_inputs(tree):
    assert names("d", "b.csv", f"file://{tree}/a*") == ["d/x.csv", "b.csv", f"file://{tree}/a.csv"]
    # A link within a folder is a file of its own.
    (tree / "d-1" / "again.csv").symlink_to(tree / "d-1" / "x.csv")
    assert names("d-1") == ["d-1/again.csv", "d-1/x.csv"]


@pytest.mark.parametrize(
    "inputs",
    [
        ("a.csv", "*.csv"),
        ("*.csv", "**/a*"),
        ("a.csv", "link"),
        ("d", "d/x.csv"),
        ("d", "d"),
        ("l.*", "a.csv"),
        ("*a.csv",),  # a file and a link to it
        ("a.csv", "file://{tree}/a.csv"),
        ("file://{tree}/d/../a.csv", "file://{tree}/a%2Ecsv"),
    ],
)
def test_a_file_that_is_named_twice_is_refused(tree, inputs):
    (tree / "link").mkdir()
    (tree / "link" / "l.csv").symlink_to(tree / "a.csv")
    (tree / "l.csv").symlink_to(tree / "a.csv")
    (tree / "la.csv").symlink_to(tree / "a.csv")
    with pytest.raises(CorpusError, match=r"named twice, by .* and by .*; a file is read once"):
        data_files(*(name.format(tree=tree) for name in inputs))


def test_the_stamp_of_a_file(tree):
    os.utime("a.csv", ns=(1, 1_700_000_000_123_456_789))
    (path,), (uri,) = data_files("a.csv"), data_files(f"file://{tree}/a.csv")
    assert (path.stamp.name, path.stamp.size) == ("a.csv", 5)
    assert path.stamp.modified_ns == uri.stamp.modified_ns == 1_700_000_000_123_456_789


@pytest.mark.parametrize(
    ("suffix", "form", "compression"),
    [
        ("csv", Format.CSV, None),
        (".tsv", Format.TSV, None),
        ("JSONL.GZ", Format.JSON_LINES, "gzip"),
    ],
)
def test_the_format_of_standard_input(monkeypatch, suffix, form, compression):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"text\nhello")))
    (file,) = data_files("-", standard_input=suffix)
    assert (str(file), file.format, file.compression) == ("standard input", form, compression)
    assert (file.stamp.size, file.stamp.modified_ns) == (None, None)


@pytest.mark.parametrize(
    ("inputs", "suffix", "message"),
    [
        (("-",), None, "standard input: no format is given. Expected csv, tsv, jsonl"),
        (("-",), "xls", "standard input: unknown format 'xls'. Expected csv"),
        (("-",), "gz", "standard input: unknown format 'gz'"),
        (("-",), "parquet", "standard input: Parquet needs random access"),
        (("-", "-"), "csv", "expected - as the only input, received 2 inputs"),
    ],
)
def test_standard_input_that_cannot_be_read_is_refused(inputs, suffix, message):
    with pytest.raises(ArgumentError) as caught:
        data_files(*inputs, standard_input=suffix)
    assert message in str(caught.value)
