"""Several files as one stream of records, and how far it has been read."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gatewise.vocab.corpus.read_progress import ReadProgress
from gatewise.vocab.corpus.record_stream import open_records
from gatewise.vocab.corpus.records import Record
from gatewise.vocab.errors import CorpusError

ROWS = 10_000


def write(path):
    """Writes texts that do not compress to nothing."""
    texts = [f"text {number} {number * 7_654_321 % 1_000_003}" for number in range(ROWS)]
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"text": texts}), path)
        return path
    line = '{{"text": "{}"}}\n' if ".jsonl" in path.suffixes else "{}\n"
    head = "" if ".jsonl" in path.suffixes else "text\n"
    with pa.output_stream(str(path), compression="detect") as stream:
        stream.write((head + "".join(map(line.format, texts))).encode())
    return path


@pytest.fixture
def files(tmp_path):
    names = ("a.csv", "b.csv.gz", "c.jsonl.zst", "d.parquet")
    return [write(tmp_path / name) for name in names]


def test_several_files_are_one_stream(files):
    stream, progress = open_records(*files), ReadProgress()
    assert stream.size == sum(path.stat().st_size for path in files)
    records = list(stream.records(progress))
    assert [record.location.file for record in records[::ROWS]] == [str(path) for path in files]
    assert len(records) == 4 * ROWS == len(list(stream))
    assert progress.done == stream.size


def test_the_bytes_read_run_before_the_rows_given_out(files):
    for table in open_records(*files).tables:
        progress, positions = ReadProgress(), []
        for _ in table.records(progress):
            positions.append(progress.done)
        size = table.file.size
        assert size is not None
        assert positions == sorted(positions)
        # A share of the rows has taken that share of the bytes, or more.
        assert positions[0] > 0
        assert positions[ROWS // 2] >= size * 0.4
        assert positions[-1] == progress.done == size


def test_a_reading_that_is_given_up_counts_what_was_read(tmp_path):
    path = write(tmp_path / "a.csv.gz")
    stream, progress = open_records(path), ReadProgress()
    records = stream.records(progress)
    assert isinstance(next(records), Record)
    records.close()
    done = progress.done
    assert 0 < done <= path.stat().st_size
    assert len(list(stream.records(progress))) == ROWS
    assert progress.done == done + path.stat().st_size


def test_messages_name_a_few_of_many_inputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in "abcde":
        Path(f"{name}.csv").write_text("text\nhello\n")
    assert open_records("a.csv").path == "a.csv"
    assert open_records("a.csv", "b.csv", "c.csv").path == "a.csv, b.csv, c.csv"
    assert open_records(*(f"{name}.csv" for name in "abcde")).path == (
        "a.csv, b.csv, c.csv and 2 more"
    )


def test_a_column_is_required_of_every_file(tmp_path):
    (tmp_path / "a.csv").write_text("text\nhello\n")
    (tmp_path / "b.csv").write_text("sentence\nhello\n")
    with pytest.raises(CorpusError, match=r"b\.csv: no column 'text'"):
        open_records(tmp_path / "a.csv", tmp_path / "b.csv").require("text", "--text-column")
