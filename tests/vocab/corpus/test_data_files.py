"""File names and formats; lines of compressed and damaged files."""

import gzip
import os
import pickle

import pyarrow as pa
import pytest

from gatewise.vocab.corpus import data_files
from gatewise.vocab.corpus.data_files import DataFile, Format, Stamp, open_lines
from gatewise.vocab.errors import CorpusError


@pytest.mark.parametrize(
    ("name", "form", "compression"),
    [
        ("A.CSV", Format.CSV, None),
        ("a.b.tsv.gz", Format.TSV, "gzip"),
        ("a.jsonl.zst", Format.JSON_LINES, "zstd"),
        ("a.parquet", Format.PARQUET, None),
    ],
)
def test_format_and_compression_of_a_name(name, form, compression):
    assert DataFile.named(name) == DataFile(name, form, compression)


@pytest.mark.parametrize("name", ["a.md", "a.gz", ".csv"])
def test_an_unknown_suffix_is_refused(name):
    with pytest.raises(CorpusError, match=r"unknown kind of file.*\.csv, \.tsv, \.jsonl.*\.zst"):
        DataFile.named(name)
    with pytest.raises(CorpusError, match=r"a\.parquet\.gz: Parquet compresses its own contents"):
        DataFile.named("a.parquet.gz")


def test_the_format_of_a_uri():
    file = DataFile.named("s3://bucket/a%20b/train.csv.gz?region=eu-west-1")
    assert (file.format, file.compression) == (Format.CSV, "gzip")
    assert file.name == "s3://bucket/a%20b/train.csv.gz?region=eu-west-1"
    assert str(file) == "s3://bucket/a%20b/train.csv.gz"
    with pytest.raises(CorpusError, match=r"^s3://\*\*\*@bucket/a: unknown kind of file"):
        DataFile.named("s3://key:secret@bucket/a?region=a.csv")


def test_a_file_can_be_pickled():
    file = DataFile("s3://bucket/a.csv?region=a", Format.CSV, None, 17, 5)
    assert pickle.loads(pickle.dumps(file)) == file
    assert file.stamp == Stamp("s3://bucket/a.csv", 17, 5)


def test_lines_end_at_line_feeds_lose_the_byte_order_mark_and_keep_stray_bytes(
    tmp_path,
):
    path = tmp_path / "a.csv"
    path.write_bytes("\ufeffä\r\nb\rc\u2028d\n\ne".encode() + b"\xff\nf")
    with open_lines(DataFile.named(path)) as lines:
        assert list(lines) == ["ä\r\n", "b\rc\u2028d\n", "\n", "e\udcff\n", "f"]


@pytest.mark.parametrize(("suffix", "compression"), [(".gz", "gzip"), (".zst", "zstd")])
def test_compressed_lines_are_the_same_lines(tmp_path, suffix, compression):
    path = tmp_path / f"a.csv{suffix}"
    expected = [f"line {number} é\n" for number in range(50_000)]
    with pa.output_stream(str(path), compression=compression) as stream:
        stream.write("".join(expected).encode())
    with open_lines(DataFile.named(path)) as lines:
        assert list(lines) == expected


def test_a_gzip_of_several_members_is_read_to_its_end(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"a\n") + gzip.compress(b"b\n"))
    with open_lines(DataFile.named(path)) as lines:
        assert list(lines) == ["a\n", "b\n"]


@pytest.mark.parametrize(
    "damage",
    [lambda whole: whole[:-9], lambda whole: b"no gzip", lambda whole: whole[:40] + whole[60:]],
)
def test_a_damaged_archive_is_an_error_and_not_a_short_file(tmp_path, damage):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(damage(gzip.compress(os.urandom(300).hex().encode() + b"\n")))
    with (
        pytest.raises(CorpusError, match=r"a\.csv\.gz: cannot be read: "),
        open_lines(DataFile.named(path)) as lines,
    ):
        list(lines)


def test_a_line_that_is_too_long_comes_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(data_files, "LINE_LIMIT", 10)
    path = tmp_path / "a.csv"
    path.write_text("x" * 25)
    with open_lines(DataFile.named(path)) as lines:
        assert [len(line) for line in lines] == [10, 10, 5]
