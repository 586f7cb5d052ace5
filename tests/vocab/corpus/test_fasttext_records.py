"""fastText's files: one label or several a line, found by name or by content."""

import gzip
from pathlib import Path

import pytest

from gatewise.vocab.corpus.bad_row_policy import BadRowsError, StopAtBadRows
from gatewise.vocab.corpus.columns import Columns
from gatewise.vocab.corpus.corpus_reader import open_corpus, read_texts
from gatewise.vocab.corpus.record_stream import open_records
from gatewise.vocab.errors import CorpusError

ONE = "__label__a late, as ever\n\n__label__b\tin  time; \n  fine __label__a\n"
SEVERAL = "__label__a __label__b late\n__label__b in time\n"


def rows(path: Path, columns: Columns | None = None) -> list[tuple[int, str, tuple[str, ...]]]:
    found = open_corpus(path, columns).rows(StopAtBadRows())
    return [(row.location.line, row.text, row.labels) for row in found]


@pytest.mark.parametrize("name", ["a.txt", "a.ft", "cooking.train", "cooking.train.gz", "train"])
def test_a_file_is_found_by_its_name_or_by_its_labels(tmp_path: Path, name: str) -> None:
    content = ONE.encode("utf-8-sig")
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert rows(path) == [
        (1, "late, as ever", ("a",)),
        (3, "in  time;", ("b",)),
        (4, "fine", ("a",)),
    ]
    notes = open_records(path).notes
    if path.suffix in (".txt", ".ft"):
        assert notes == ()
    else:
        assert notes == (f"{path}: read as fastText, found in its first bytes",)


def test_a_file_with_several_labels_is_multi_label(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(SEVERAL)
    corpus = open_corpus(tmp_path / "a.txt")
    assert (corpus.columns.task, corpus.columns.label) == ("multi_label", "labels")
    assert rows(tmp_path / "a.txt") == [(1, "late", ("a", "b")), (2, "in time", ("b",))]


def test_a_second_label_far_down_is_a_bad_row_and_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("__label__a some words\n" * 20_000 + SEVERAL)
    with pytest.raises(BadRowsError, match=r"line 20001: .*set corpus.task=multi_label"):
        rows(tmp_path / "a.txt")
    several = rows(tmp_path / "a.txt", Columns(task="multi_label"))
    assert several[-2:] == [(20_001, "late", ("a", "b")), (20_002, "in time", ("b",))]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("no label here", "line 2: the label is missing"),
        ("__label__a", "line 2: the text is missing"),
        ("__label__ x", "line 2: the label is missing"),
    ],
)
def test_bad_lines(tmp_path: Path, line: str, reason: str) -> None:
    (tmp_path / "a.txt").write_text(f"__label__a x\n{line}\n")
    with pytest.raises(BadRowsError, match=reason):
        rows(tmp_path / "a.txt")


def test_a_damaged_byte_makes_one_bad_row(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("__label__a é\n".encode() + b"__label__a caf\xe9\n")
    with pytest.raises(BadRowsError, match="line 2: column 'text' holds the byte 0xe9"):
        rows(tmp_path / "a.txt")


def test_lines_without_labels_are_texts(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\ntwo, three\n")
    assert open_records(tmp_path / "a.txt").tables[0].columns == ("text",)
    assert list(read_texts(tmp_path / "a.txt", bad_rows=StopAtBadRows())) == ["one", "two, three"]
    with pytest.raises(CorpusError, match="no column 'label'; the columns are: text"):
        open_corpus(tmp_path / "a.txt")


def test_other_names_and_notes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("__labels__ are explained here\n")
    with pytest.raises(CorpusError, match=r"a\.md: unknown kind of file"):
        open_records(tmp_path / "a.md")
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "README.txt").write_text("what is here\n")
    (folder / "a.csv").write_text("text,label\nx,a\n")
    with pytest.raises(CorpusError, match=r"README\.txt: a text file among files of another kind"):
        open_records(folder)
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(CorpusError, match=r"empty\.txt: the file is empty; expected a text"):
        open_records(tmp_path / "empty.txt")
