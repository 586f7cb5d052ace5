"""A folder of text files for each class."""

from dataclasses import replace
from pathlib import Path

import pytest

from gatewise.vocab.corpus import class_folders
from gatewise.vocab.corpus.bad_row_policy import BadRowsError, StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import read_rows
from gatewise.vocab.corpus.input_files import require_unchanged
from gatewise.vocab.corpus.read_progress import ReadProgress
from gatewise.vocab.corpus.record_stream import open_records
from gatewise.vocab.errors import CorpusError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in {
        "neg/2.txt": "so so\nlala\n",
        "neg/10.txt": "bad, für mich",
        "pos/1.txt": "\ufeffgood",
        ".git/x.txt": "x",
        "pos/.hidden": "x",
    }.items():
        path = tmp_path / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")
    return tmp_path / "corpus"


ROWS = [("bad, für mich", "neg"), ("so so\nlala\n", "neg"), ("good", "pos")]


def test_a_row_is_a_file_and_its_label_the_folder(folder: Path) -> None:
    rows = list(read_rows(folder, bad_rows=StopAtBadRows()))
    assert [(row.text, row.label) for row in rows] == ROWS
    assert [str(row.location) for row in rows] == [
        f"{folder}/{name}, line 1" for name in ("neg/10.txt", "neg/2.txt", "pos/1.txt")
    ]
    records, progress = open_records(folder), ReadProgress()
    assert len(list(records.records(progress))) == 3
    assert progress.done == records.size
    assert records.notes == ()


def test_the_encoding_is_that_of_all_files(folder: Path) -> None:
    for file in folder.glob("*/*.txt"):
        file.write_bytes(file.read_text("utf-8-sig").encode("cp1252"))
    assert [(r.text, r.label) for r in read_rows(folder, bad_rows=StopAtBadRows())] == ROWS
    assert open_records(folder).notes == (
        f"{folder}: read with the encoding cp1252, found in its first bytes",
    )


def test_files_that_cannot_be_used_are_bad_rows(folder: Path, monkeypatch) -> None:
    (folder / "pos" / "1.txt").write_bytes("für".encode() + b"\xff")
    with pytest.raises(BadRowsError) as caught:
        list(read_rows(folder, bad_rows=StopAtBadRows()))
    (row,) = caught.value.rows
    assert (row.location.file, row.reason) == (
        f"{folder}/pos/1.txt",
        "column 'text' holds the byte 0xff, which is not UTF-8",
    )
    monkeypatch.setattr(class_folders, "LINE_LIMIT", 10)
    with pytest.raises(
        BadRowsError, match=r"neg/10\.txt, line 1: the file is longer than 10 bytes"
    ):
        list(read_rows(folder, bad_rows=StopAtBadRows()))


def test_other_files_and_other_folders_are_refused(folder: Path) -> None:
    (folder / "pos" / "2.csv").write_text("x")
    with pytest.raises(CorpusError, match=r"pos/2\.csv: expected text files \(\.txt\) in the"):
        open_records(folder)
    (folder / "pos" / "2.csv").unlink()
    (folder / "notes.txt").write_text("x")
    with pytest.raises(CorpusError, match="neg: a folder inside the corpus folder"):
        open_records(folder)


def test_a_change_is_noticed(folder: Path) -> None:
    (table,) = open_records(folder).tables
    require_unchanged(table.file)
    (folder / "pos" / "3.txt").write_text("more")
    with pytest.raises(CorpusError, match="was changed while it was read"):
        require_unchanged(table.file)
    require_unchanged(replace(table.file, size=None))
