"""Which data files there are, how their bytes become lines, and how a file is written whole.

Owns the suffixes Gatewise knows, decompression, decoding, and the temporary file behind every
output. Knows nothing of rows, columns or labels.

Pyarrow opens and decompresses, so that gzip and Zstandard need no further package and a damaged
stream is an error instead of a short file. It does not parse CSV or JSON here: its readers cannot
say on which line a row is broken, and its CSV reader swallows a broken quote.
"""

import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

import pyarrow as pa

from vocab.errors import CorpusError

# A line of this many characters is taken for a damaged or binary file rather than for a text.
LINE_LIMIT = 64 * 1024 * 1024
_BUFFER_BYTES = 1024 * 1024


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
class DataFile:
    """A data file, to be read or to be written, as its name describes it.

    Attributes:
        path: The path as it was given; it names the file in every message.
        format: How its rows are written down.
        compression: `gzip`, `zstd` or None.
    """

    path: Path
    format: Format
    compression: str | None = None

    def __str__(self) -> str:
        return str(self.path)

    @classmethod
    def named(cls, path: str | os.PathLike[str]) -> "DataFile":
        """Read format and compression off a file's name; the file need not exist.

        Example:
            `DataFile.named("train.csv.gz")` is CSV in gzip.

        Raises:
            CorpusError: The suffix is unknown, or it compresses Parquet a second time.
        """
        path = Path(path)
        compression = COMPRESSIONS.get(path.suffix.lower())
        suffix = (Path(path.stem) if compression else path).suffix.lower()
        if suffix not in SUFFIXES:
            raise CorpusError(
                f"{path}: unknown kind of file. Expected a name that ends in "
                f"{', '.join(SUFFIXES)}, alone or followed by {' or '.join(COMPRESSIONS)}"
            )
        if compression and SUFFIXES[suffix] is Format.PARQUET:
            raise CorpusError(
                f"{path}: Parquet compresses its own columns and is not read or written through "
                f"{path.suffix}. Expected a name that ends in .parquet"
            )
        return cls(path, SUFFIXES[suffix], compression)


def data_files(path: str | os.PathLike[str]) -> tuple[DataFile, ...]:
    """List the data files a path stands for.

    A folder stands for the files in it, sorted by name; hidden files (`.name`) are skipped, and
    folders inside it are refused rather than silently left out.

    Raises:
        CorpusError: Nothing is there, a file is empty, or a file is of no known kind.
    """
    path = Path(path)
    if not path.is_dir():
        return (_existing(path),)
    try:
        inside = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror}") from error
    if not inside:
        raise CorpusError(f"{path}: the folder holds no data files")
    return tuple(_existing(entry) for entry in inside)


def _existing(path: Path) -> DataFile:
    if not path.exists():
        raise CorpusError(f"{path}: no such file or folder")
    if path.is_dir():
        raise CorpusError(f"{path}: a folder inside the corpus folder; expected files only")
    if not path.is_file():
        raise CorpusError(f"{path}: neither a file nor a folder")
    file = DataFile.named(path)
    if path.stat().st_size == 0:
        raise CorpusError(f"{path}: the file is empty")
    return file


@contextmanager
def reading(file: DataFile) -> Iterator[None]:
    """Turn what pyarrow and the operating system say about a file into one `CorpusError`."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise CorpusError(f"{file}: cannot be read: {' '.join(str(error).split())}") from error


@contextmanager
def open_lines(file: DataFile) -> Iterator[Iterator[str]]:
    r"""Open a text file as a stream of its lines, each with its line end.

    A line ends at `\n` alone, as editors and `sed -n 17p` count; `\r` stays where it is. A byte
    order mark at the start is dropped. A byte that is not UTF-8 becomes a lone surrogate
    (`surrogateescape`): so the lines around it survive, and the row can be refused by name. A
    line longer than `LINE_LIMIT` comes in pieces of that length, which the reader should refuse
    (`too_long`): it counts the lines, and a check here would cost every line a step.

    Raises:
        CorpusError: The file cannot be opened, read or decompressed.
    """
    with (
        reading(file),
        pa.input_stream(str(file.path), compression=file.compression) as raw,
        io.BufferedReader(raw, _BUFFER_BYTES) as buffered,
        io.TextIOWrapper(
            buffered, encoding="utf-8-sig", errors="surrogateescape", newline="\n"
        ) as stream,
    ):
        yield iter(partial(stream.readline, LINE_LIMIT), "")


def too_long(file: DataFile, line_number: int) -> CorpusError:
    """Say that a line is as long as `LINE_LIMIT`, beyond which it was not read."""
    return CorpusError(
        f"{file}, line {line_number}: longer than {LINE_LIMIT:,} characters. "
        "Expected a text file of one record a line"
    )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the operating system says about an output into one `CorpusError`."""
    try:
        yield
    except OSError as error:
        reason = " ".join((error.strerror or str(error)).split())
        raise CorpusError(f"{path}: cannot be written: {reason}") from error


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`, and rename it to `path` once the block has ended well.

    Whoever looks at `path` sees the former file or the complete new one, also after a power cut:
    the bytes are on disk before the name changes. After any error or interrupt the temporary file
    is gone and nothing else was touched.

    Raises:
        CorpusError: The folder does not exist, or `path` is something other than a file.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise CorpusError(f"{path}: cannot be written: there is no folder {path.parent}")
    if path.exists() and not path.is_file():
        # Renaming onto a device such as /dev/null would replace the device itself.
        raise CorpusError(f"{path}: cannot be written: it exists and is not a plain file")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    # The file itself is complete; not every file system lets a folder be synced.
    with suppress(OSError):
        _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
