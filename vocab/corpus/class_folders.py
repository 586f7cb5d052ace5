"""A folder of text files for each class, `CORPUS/label/*.txt`, as one file of records.

A record is a whole text file; its label is the name of its folder.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from gatewise.vocab.corpus.data_files import (
    LINE_LIMIT,
    DataFile,
    Format,
    codec_of,
    reading,
    undecodable,
)
from gatewise.vocab.corpus.read_progress import ReadProgress
from gatewise.vocab.corpus.records import BadRow, Location, Record, is_unicode, not_unicode_reason
from gatewise.vocab.errors import CorpusError

_SUFFIX = ".txt"
_SHOWN_BYTES = 200


def find_classes(folder: Path) -> DataFile | None:
    """A folder of folders of text files; None for any other folder.

    Raises:
        CorpusError: One of the folders holds something other than text files.
    """
    with suppress(OSError):
        classes = _visible(folder)
        if classes and all(entry.is_dir() for entry in classes):
            files = [file for entry in classes for file in _visible(entry)]
            if any(file.suffix == _SUFFIX for file in files):
                return _checked(folder, files)
    return None


def _checked(folder: Path, files: list[Path]) -> DataFile:
    for file in files:
        if not file.parent.name.isprintable():
            raise CorpusError(
                f"{str(file.parent)!a}: the name of the folder, which is a label, holds a line "
                "end or another control character: rename it"
            )
        if file.suffix != _SUFFIX or not file.is_file():
            raise CorpusError(
                f"{file}: expected text files ({_SUFFIX}) in the folder of a class, and no others"
            )
    states = [file.stat() for file in files]
    size, modified = sum(s.st_size for s in states), max(s.st_mtime_ns for s in states)
    return DataFile(str(folder), Format.CLASS_FOLDERS, size=size, modified_ns=modified)


def first_texts(file: DataFile, size: int) -> bytes:
    """The first bytes of the text files, one after the other, for their encoding."""
    found = b""
    for path in _paths(file):
        with reading(file), path.open("rb") as stream:
            found += stream.read(size - len(found)) + b"\n"
        if len(found) >= size:
            break
    return found


def columns_of(_: DataFile) -> tuple[str, ...]:
    """The columns: `text` and `label`."""
    return ("text", "label")


def records_of(file: DataFile, progress: ReadProgress | None = None) -> Iterator[Record | BadRow]:
    """Read the records, sorted by label and by name.

    Args:
        file: The folder.
        progress: Follows how much of the files has been read.

    Raises:
        CorpusError: A file cannot be read.
    """
    done = 0
    with (progress or ReadProgress()).following(lambda: done):
        for path in _paths(file):
            with reading(file):
                size = path.stat().st_size
                contents = path.read_bytes() if size <= LINE_LIMIT else b""
            done += size
            location = Location(str(path), 1)
            try:
                text = contents.decode(*codec_of(file))
            except UnicodeError as error:
                reason = str(undecodable(file, error)).removeprefix(f"{file}: ")
                yield BadRow(location, reason, repr(contents[:_SHOWN_BYTES]))
                continue
            values = {"text": text, "label": path.parent.name}
            record = Record(values, location, "")
            if size > LINE_LIMIT:
                yield record.bad(f"the file is longer than {LINE_LIMIT:,} bytes")
            elif is_unicode(text) and is_unicode(path.parent.name):
                yield record
            else:
                yield record.bad(not_unicode_reason(values.items(), text, file.encoding))


def _paths(file: DataFile) -> Iterator[Path]:
    with reading(file):
        for folder in _visible(file.path):
            yield from _visible(folder)


def _visible(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
