"""Data files: the format that a file's name stands for, and its decompressed, decoded lines.

Pyarrow opens and decompresses: gzip and Zstandard need no further package, and a damaged stream is
an error instead of a short file. It does not parse CSV or JSON here, because its readers do not
report the line of a malformed row, and its CSV reader accepts a quote that is never closed.
"""

import codecs
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path, PurePath

import pyarrow as pa

from gatewise.vocab.corpus import object_stores
from gatewise.vocab.corpus.local_files import open_local
from gatewise.vocab.corpus.object_stores import translate_errors
from gatewise.vocab.corpus.read_progress import ReadProgress
from gatewise.vocab.corpus.standard_input import Pipe
from gatewise.vocab.corpus.uris import Uri, is_uri, redact
from gatewise.vocab.errors import CorpusError

# A longer line means a damaged or binary file.
LINE_LIMIT = 64 * 1024 * 1024
_BUFFER_BYTES = 1024 * 1024
_FIRST_BUFFER_BYTES = 64 * 1024
# Bytes per request to a store, which takes as long as a disk needs for megabytes.
_REQUEST_BYTES = 8 * 1024 * 1024


class Format(StrEnum):
    """The format of a data file."""

    CSV = "CSV"
    TSV = "TSV"
    JSON_LINES = "JSON Lines"
    PARQUET = "Parquet"
    FASTTEXT = "fastText"
    EXCEL = "Excel"
    ARROW = "Arrow"
    CLASS_FOLDERS = "folders of text files"
    ANNOTATIONS = "annotations"

    @property
    def delimiter(self) -> str:
        """The usual delimiter of CSV and TSV."""
        return "\t" if self is Format.TSV else ","

    @property
    def is_text(self) -> bool:
        """Whether a file of this format is a text, which has an encoding and may be compressed."""
        return self not in (Format.PARQUET, Format.EXCEL, Format.ARROW)


OUTPUT_SUFFIXES = {
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".jsonl": Format.JSON_LINES,
    ".ndjson": Format.JSON_LINES,
    ".json": Format.JSON_LINES,
    ".parquet": Format.PARQUET,
}
SUFFIXES = OUTPUT_SUFFIXES | {
    ".txt": Format.FASTTEXT,
    ".ft": Format.FASTTEXT,
    ".xlsx": Format.EXCEL,
    ".arrow": Format.ARROW,
}
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
UTF_8 = "UTF-8"


@dataclass(frozen=True, slots=True)
class Stamp:
    """The state of a file, to detect changes.

    Attributes:
        name: The file's name in messages.
        size: Its size in bytes; None for standard input.
        modified_ns: Modification time in nanoseconds since 1970; None if the store has none.
    """

    name: str
    size: int | None
    modified_ns: int | None


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file to read or to write.

    Attributes:
        name: The path or URI.
        format: Its format.
        compression: `gzip`, `zstd` or None.
        size: Its size in bytes when it was found; None for an output and for standard input.
        modified_ns: Its modification time when it was found, in nanoseconds since 1970; None for
            the same files, and if the store has none.
        encoding: The encoding of its text, as Python names it.
        delimiter: The delimiter of CSV and TSV if it is not the usual one; see `cell_delimiter`.
        quoted: Whether cells of CSV and TSV may stand in double quotes (RFC 4180).
        label_column: The column of the labels of a fastText file or of annotations: `labels` if a
            text has several.
        sheet: The sheet of an Excel workbook; None for the first.
        pipe: The source of the bytes of standard input.
    """

    name: str
    format: Format
    compression: str | None = None
    size: int | None = None
    modified_ns: int | None = None
    encoding: str = UTF_8
    delimiter: str | None = None
    quoted: bool = True
    label_column: str = "label"
    sheet: str | None = None
    pipe: Pipe | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return redact(self.name)

    @property
    def path(self) -> Path:
        """The path of a local file; not valid for a URI."""
        return Path(self.name)

    @property
    def cell_delimiter(self) -> str:
        """The delimiter of CSV and TSV."""
        return self.delimiter or self.format.delimiter

    @property
    def stamp(self) -> Stamp:
        """The state of the file when it was found."""
        return Stamp(str(self), self.size, self.modified_ns)

    @property
    def has_known_name(self) -> bool:
        """Whether the file's name tells its format."""
        try:
            DataFile.named(self.name)
        except CorpusError:
            return False
        return True

    @classmethod
    def named(
        cls, path: str | os.PathLike[str], suffixes: Mapping[str, Format] = SUFFIXES
    ) -> "DataFile":
        """Derive format and compression from a file's name; the file need not exist.

        Args:
            path: A path or a URI.
            suffixes: The suffixes that are known; `OUTPUT_SUFFIXES` for a file to be written.

        Example:
            `DataFile.named("train.csv.gz")` is CSV in gzip.

        Raises:
            CorpusError: The suffix is unknown, or it compresses Parquet or Excel a second time.
        """
        name = os.fspath(path)
        label = redact(name)
        last = PurePath(Uri.of(name).path if is_uri(name) else name)
        compression = COMPRESSIONS.get(last.suffix.lower())
        suffix = (PurePath(last.stem) if compression else last).suffix.lower()
        if suffix not in suffixes:
            raise CorpusError(
                f"{label}: unknown kind of file. Expected a name that ends in "
                f"{', '.join(suffixes)}, alone or followed by {' or '.join(COMPRESSIONS)}"
            )
        form = suffixes[suffix]
        if compression and not form.is_text:
            raise CorpusError(
                f"{label}: {form} compresses its own contents and is not read or written through "
                f"{last.suffix}. Expected a name that ends in {suffix}"
            )
        return cls(name, form, compression)


@contextmanager
def reading(file: DataFile) -> Iterator[None]:
    """Turn an error of pyarrow or the operating system into a `CorpusError`."""
    with translate_errors(file.name, "read"):
        yield


@contextmanager
def open_bytes(file: DataFile) -> Iterator[pa.NativeFile]:
    """Open a file without decompressing; all but standard input can be read in any order.

    Raises:
        CorpusError: The file cannot be opened or read.
    """
    with reading(file):
        if file.pipe is not None:
            stream = pa.PythonFile(file.pipe.open(), mode="r")
        elif is_uri(file.name):
            stream = object_stores.open_object(file.name)
        else:
            stream = open_local(file.name)
        with stream:
            yield stream


def first_bytes(file: DataFile, size: int) -> bytes:
    """Read the first bytes of a file, decompressed; fewer than `size` are the whole file.

    Raises:
        CorpusError: The file cannot be opened, read or decompressed.
    """
    with (
        open_bytes(file) as raw,
        _plain(raw, file) as plain,
        # A fault further on belongs to the rows there.
        io.BufferedReader(plain, _FIRST_BUFFER_BYTES) as buffered,
    ):
        return buffered.read(size)


@contextmanager
def open_lines(file: DataFile, progress: ReadProgress | None = None) -> Iterator[Iterator[str]]:
    r"""Open a text file as a stream of its lines, each with its line end.

    A line ends at `\n` alone; `\r` is kept. A byte order mark at the start is dropped. A byte that
    its encoding does not have becomes a lone surrogate (`surrogateescape`), so that only its row is
    bad. A line longer than `LINE_LIMIT` comes in pieces of that length, which the reader refuses
    (`too_long`); a check here would slow down every line.

    Args:
        file: The file.
        progress: Follows how much of the file has been read.

    Raises:
        CorpusError: The file cannot be opened, read, decompressed or decoded.
    """
    encoding, errors = codec_of(file)
    with (
        open_bytes(file) as raw,
        _plain(raw, file) as plain,
        io.BufferedReader(plain, _BUFFER_BYTES) as buffered,
        io.TextIOWrapper(buffered, encoding=encoding, errors=errors, newline="\n") as stream,
        (progress or ReadProgress()).following(raw.tell),
    ):
        try:
            yield iter(partial(stream.readline, LINE_LIMIT), "")
        except UnicodeError as error:
            raise undecodable(file, error) from error


def undecodable(file: DataFile, error: UnicodeError) -> CorpusError:
    """The error for a text file that cannot be decoded."""
    # UTF-16 without a byte order mark raises an error without a reason of its own.
    reason = getattr(error, "reason", error)
    return CorpusError(
        f"{file}: cannot be read as {file.encoding}: {reason}. Name its encoding, or save it as "
        "UTF-8",
        option="encoding",
    )


def codec_of(file: DataFile) -> tuple[str, str]:
    """The codec that decodes a text file, and its error handler."""
    encoding = "utf-8-sig" if file.encoding == UTF_8 else file.encoding
    # In UTF-16 and UTF-32 a fault is half of a surrogate pair, not a byte.
    return encoding, "surrogatepass" if is_wide(encoding) else "surrogateescape"


def is_wide(encoding: str) -> bool:
    """Whether the characters of an encoding are units of two or four bytes.

    >>> is_wide("UTF-16-LE"), is_wide("cp1252")
    (True, False)
    """
    return codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))


def _plain(raw: pa.NativeFile, file: DataFile) -> pa.NativeFile:
    stream = pa.BufferedInputStream(raw, _REQUEST_BYTES) if is_uri(file.name) else raw
    return pa.CompressedInputStream(stream, file.compression) if file.compression else stream


@contextmanager
def open_numbered_lines(
    file: DataFile, progress: ReadProgress | None = None
) -> Iterator[Iterator[tuple[int, str]]]:
    """Open a text file with a record on each line: as `open_lines`, without the blank lines.

    Yields:
        The lines, each with its number from 1.

    Raises:
        CorpusError: As `open_lines`; or a line is too long, once it is reached.
    """
    with open_lines(file, progress) as lines:
        yield _numbered(file, lines)


def _numbered(file: DataFile, lines: Iterator[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, start=1):
        if len(line) == LINE_LIMIT:
            raise too_long(file, number)
        if not line.isspace():
            yield number, line


def too_long(file: DataFile, line_number: int) -> CorpusError:
    """The error for a line that reaches `LINE_LIMIT`."""
    return CorpusError(
        f"{file}, line {line_number}: longer than {LINE_LIMIT:,} characters. "
        "Expected a text file with one record per line"
    )
