"""Data files: the format that a file's name stands for, and its decompressed, decoded lines.

Pyarrow opens and decompresses, so that gzip and Zstandard need no further package and a damaged
stream is an error instead of a short file. It does not parse CSV or JSON here: its readers cannot
say on which line a row is broken, and its CSV reader swallows a broken quote.
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path, PurePath

import pyarrow as pa
from gatewise.vocab.corpus import object_stores
from gatewise.vocab.corpus.object_stores import translate_errors
from gatewise.vocab.corpus.read_progress import ReadProgress
from gatewise.vocab.corpus.standard_input import Pipe
from gatewise.vocab.corpus.uris import Uri, is_uri, redact
from gatewise.vocab.errors import CorpusError

# A line of this many characters is taken for a damaged or binary file rather than for a text.
LINE_LIMIT = 64 * 1024 * 1024
_BUFFER_BYTES = 1024 * 1024
# A request to a store takes as long as a disk takes for megabytes.
_REQUEST_BYTES = 8 * 1024 * 1024


class Format(StrEnum):
    """How the rows of a data file are written down."""

    CSV = "CSV"
    TSV = "TSV"
    JSON_LINES = "JSON Lines"
    PARQUET = "Parquet"


SUFFIXES = {
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".jsonl": Format.JSON_LINES,
    ".ndjson": Format.JSON_LINES,
    ".json": Format.JSON_LINES,
    ".parquet": Format.PARQUET,
}
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells a file from a later state of it.

    Attributes:
        name: The file as messages name it.
        size: Its size in bytes; None for standard input.
        modified_ns: When it was last changed, in nanoseconds since 1970; None where the store
            does not say.
    """

    name: str
    size: int | None
    modified_ns: int | None


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file, to be read or to be written, as its name describes it.

    Attributes:
        name: The path or the URI as it was given.
        format: How its rows are written down.
        compression: `gzip`, `zstd` or None.
        size: Its size in bytes when it was found; None for a file that was only named, and for
            standard input.
        modified_ns: When it had last been changed then, in nanoseconds since 1970; None where
            the size is, and where a store does not say.
        pipe: Where its bytes come from, if they have no name.
    """

    name: str
    format: Format
    compression: str | None = None
    size: int | None = None
    modified_ns: int | None = None
    pipe: Pipe | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return redact(self.name)

    @property
    def path(self) -> Path:
        """The path of a local file. A URI has none, and a path made of it leads nowhere."""
        return Path(self.name)

    @property
    def stamp(self) -> Stamp:
        """The state in which the file was found."""
        return Stamp(str(self), self.size, self.modified_ns)

    @classmethod
    def named(cls, path: str | os.PathLike[str]) -> "DataFile":
        """Read format and compression off a file's name; the file need not exist.

        Args:
            path: A path or a URI.

        Example:
            `DataFile.named("train.csv.gz")` is CSV in gzip.

        Raises:
            CorpusError: The suffix is unknown, or it compresses Parquet a second time.
        """
        name = os.fspath(path)
        label = redact(name)
        last = PurePath(Uri.of(name).path if is_uri(name) else name)
        compression = COMPRESSIONS.get(last.suffix.lower())
        suffix = (PurePath(last.stem) if compression else last).suffix.lower()
        if suffix not in SUFFIXES:
            raise CorpusError(
                f"{label}: unknown kind of file. Expected a name that ends in "
                f"{', '.join(SUFFIXES)}, alone or followed by {' or '.join(COMPRESSIONS)}"
            )
        if compression and SUFFIXES[suffix] is Format.PARQUET:
            raise CorpusError(
                f"{label}: Parquet compresses its own columns and is not read or written through "
                f"{last.suffix}. Expected a name that ends in .parquet"
            )
        return cls(name, SUFFIXES[suffix], compression)


@contextmanager
def reading(file: DataFile) -> Iterator[None]:
    """Turn what pyarrow and the operating system say about a file into one `CorpusError`."""
    with translate_errors(file.name, "read"):
        yield


@contextmanager
def open_bytes(file: DataFile) -> Iterator[pa.NativeFile]:
    """Open a file as it is stored; all but standard input can be read in any order.

    Raises:
        CorpusError: The file cannot be opened or read.
    """
    with reading(file):
        if file.pipe is not None:
            stream = pa.PythonFile(file.pipe.open(), mode="r")
        elif is_uri(file.name):
            stream = object_stores.open_object(file.name)
        else:
            stream = pa.OSFile(file.name, "rb")
        with stream:
            yield stream


@contextmanager
def open_lines(file: DataFile, meter: ReadProgress | None = None) -> Iterator[Iterator[str]]:
    r"""Open a text file as a stream of its lines, each with its line end.

    A line ends at `\n` alone, as editors and `sed -n 17p` count; `\r` stays where it is. A byte
    order mark at the start is dropped. A byte that is not UTF-8 becomes a lone surrogate
    (`surrogateescape`): so the lines around it survive, and the row can be refused by name. A
    line longer than `LINE_LIMIT` comes in pieces of that length, which the reader should refuse
    (`too_long`): it counts the lines, and a check here would cost every line a step.

    Args:
        file: The file.
        meter: Told how much of the file has been read.

    Raises:
        CorpusError: The file cannot be opened, read or decompressed.
    """
    with (
        open_bytes(file) as raw,
        _plain(raw, file) as plain,
        io.BufferedReader(plain, _BUFFER_BYTES) as buffered,
        io.TextIOWrapper(
            buffered, encoding="utf-8-sig", errors="surrogateescape", newline="\n"
        ) as stream,
        (meter or ReadProgress()).following(raw.tell),
    ):
        yield iter(partial(stream.readline, LINE_LIMIT), "")


def _plain(raw: pa.NativeFile, file: DataFile) -> pa.NativeFile:
    stream = pa.BufferedInputStream(raw, _REQUEST_BYTES) if is_uri(file.name) else raw
    return pa.CompressedInputStream(stream, file.compression) if file.compression else stream


def too_long(file: DataFile, line_number: int) -> CorpusError:
    """Say that a line is as long as `LINE_LIMIT`, beyond which it was not read."""
    return CorpusError(
        f"{file}, line {line_number}: longer than {LINE_LIMIT:,} characters. "
        "Expected a text file of one record a line"
    )
