"""The data files of an input: a file, a folder, a pattern, a URI or standard input."""

import glob
import os
from codecs import BOM_UTF8
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePath
from stat import S_ISDIR, S_ISREG

from pyarrow.fs import FileType

from gatewise.vocab.corpus import object_stores
from gatewise.vocab.corpus.class_folders import find_classes
from gatewise.vocab.corpus.data_files import (
    COMPRESSIONS,
    SUFFIXES,
    DataFile,
    Format,
    first_bytes,
)
from gatewise.vocab.corpus.dataset_folders import saved_files, splits_of
from gatewise.vocab.corpus.fasttext_records import PREFIX
from gatewise.vocab.corpus.object_stores import StoreEntry
from gatewise.vocab.corpus.standard_input import NAME as STANDARD_INPUT
from gatewise.vocab.corpus.standard_input import standard_input as take_standard_input
from gatewise.vocab.corpus.uris import Uri, identity, is_uri, redact
from gatewise.vocab.errors import ArgumentError, CorpusError

_LABEL = PREFIX.encode()


def data_files(
    *inputs: str | os.PathLike[str], standard_input: str | None = None
) -> tuple[DataFile, ...]:
    """List the data files of inputs, in order.

    A folder means its files, sorted by name, without hidden files (`.name`) and the marks of Spark
    and Hadoop, such as `_SUCCESS`; a folder inside it is refused. A name with `*`, `?` or `[` that
    does not exist is a pattern and means the matching files, sorted by name; `**` matches any
    number of folders. `-` alone is standard input. All others may be URIs, in which a pattern's `?`
    is written `%3F`.

    Args:
        inputs: Paths, patterns and URIs.
        standard_input: The format of standard input: a suffix of `SUFFIXES`, and of
            `COMPRESSIONS` if it is compressed, without the first dot.

    Raises:
        CorpusError: A file is missing, of no known kind or named twice, or a store does not
            answer.
        ArgumentError: There is no input, or standard input cannot be read as it is given.
    """
    if not inputs:
        raise ArgumentError("expected one input at least, received none")
    if "-" in inputs:
        if len(inputs) > 1:
            raise ArgumentError(
                f"{STANDARD_INPUT}: expected - as the only input, received {len(inputs)} inputs"
            )
        return (_standard_input(standard_input),)
    files: list[DataFile] = []
    first: dict[str, str] = {}
    for source in inputs:
        item = os.fspath(source)
        folder, found = _expanded(item)
        here: dict[str, str] = {}
        for file in found:
            name = identity(file.name)
            # Links inside one folder are there on purpose.
            earlier = first.get(name) or (None if folder else here.get(name))
            if earlier is not None:
                raise CorpusError(
                    f"{file}: named twice, by {earlier} and by {redact(item)}; a file is read once"
                )
            here[name] = redact(item)
            files.append(file)
        first |= here
    return tuple(files)


def require_unchanged(file: DataFile) -> None:
    """Check that a local file has not changed since it was found.

    Objects of stores are replaced atomically, and standard input is read once: neither is checked.

    Raises:
        CorpusError: Its size or its modification time has changed.
    """
    if is_uri(file.name) or file.size is None:
        return
    found = _state(file)
    if (found.size, found.modified_ns) != (file.size, file.modified_ns):
        raise CorpusError(
            f"{file}: was changed while it was read. Wait until it is written, and start again"
        )


def would_match(item: str, name: str) -> bool:
    """Whether an input is a pattern that matches the name of a file, which need not exist.

    Raises:
        CorpusError: A store does not answer.
    """
    if not _is_pattern(item):
        return False
    known = (object_stores.stat(item) if is_uri(item) else _stat(item)).kind
    return known == FileType.NotFound and object_stores.fits(identity(name), identity(item))


def _standard_input(suffix: str | None) -> DataFile:
    known = ", ".join(suffix[1:] for suffix, form in SUFFIXES.items() if form.is_text)
    expected = f"Expected {known}, alone or followed by {' or '.join(COMPRESSIONS)}"
    if suffix is None:
        raise ArgumentError(f"{STANDARD_INPUT}: no format is given. {expected}")
    try:
        file = DataFile.named(f"-.{suffix.removeprefix('.')}")
    except CorpusError as error:
        raise ArgumentError(f"{STANDARD_INPUT}: unknown format {suffix!r}. {expected}") from error
    if not file.format.is_text:
        raise ArgumentError(
            f"{STANDARD_INPUT}: {file.format} needs random access, which a stream does not have. "
            "Write it to a file first"
        )
    return replace(file, name=STANDARD_INPUT, pipe=take_standard_input())


def _state(file: DataFile) -> DataFile | StoreEntry:
    if file.format is Format.CLASS_FOLDERS:
        return find_classes(file.path) or _stat(file.name)
    return _stat(file.name)


def _expanded(item: str) -> tuple[bool, list[DataFile]]:
    """Whether an input is a folder, and its files."""
    if not is_uri(item) and not splits_of(Path(item)):
        classes = find_classes(Path(item))
        if classes is not None:
            return True, [classes]
    folder, found = _entries(item)
    return folder, list(map(_usable, found))


def _entries(item: str) -> tuple[bool, list[StoreEntry]]:
    found = object_stores.stat(item) if is_uri(item) else _stat(item)
    if found.kind == FileType.Directory:
        return True, _in_folder(item)
    if found.kind == FileType.NotFound and _is_pattern(item):
        return False, _matching(item)
    return False, [found]


def _is_pattern(item: str) -> bool:
    return glob.has_magic(Uri.of(item).path if is_uri(item) else item)


def _in_folder(item: str) -> list[StoreEntry]:
    if not is_uri(item):
        if (saved := saved_files(Path(item))) is not None:
            return [_stat(str(file)) for file in saved]
        splits = splits_of(Path(item))
        if len(splits) > 1:
            names = ", ".join(map(repr, splits))
            first = next(iter(splits.values()))
            every = f", or all as '{item}/*'" if first.is_file() else ""
            raise CorpusError(
                f"{item}: holds the splits {names}; expected one of them, such as '{first}'{every}"
            )
        for pattern in splits.values():
            return _in_folder(str(pattern)) if pattern.is_dir() else _matching(str(pattern))
    try:
        inside = (
            object_stores.inside(item)
            if is_uri(item)
            else [_stat(str(entry)) for entry in Path(item).iterdir()]
        )
    except OSError as error:
        raise CorpusError(f"{item}: cannot be read: {error.strerror}") from error
    inside = _sorted(found for found in inside if not _is_hidden(found.name))
    if not inside:
        raise CorpusError(f"{redact(item)}: the folder holds no data files")
    for found in inside:
        if found.kind == FileType.Directory:
            raise CorpusError(
                f"{redact(found.name)}: a folder inside the corpus folder; expected files only"
            )
    _check_text_files(inside)
    return inside


def _is_hidden(name: str) -> bool:
    return _parts(name)[-1].startswith(".") or _is_mark(name)


def _is_mark(name: str) -> bool:
    """Whether a file says that a job has ended, or the like: `_SUCCESS`, `_metadata`."""
    return _parts(name)[-1].startswith("_") and _kind(name) is None


def _check_text_files(files: list[StoreEntry]) -> None:
    """Notes such as README.txt among data files of another kind are not rows."""
    texts = [file.name for file in files if _kind(file.name) is Format.FASTTEXT]
    if texts and len(texts) < len(files):
        raise CorpusError(
            f"{redact(texts[0])}: a text file among files of another kind; move it elsewhere"
        )


def _kind(name: str) -> Format | None:
    try:
        return DataFile.named(name).format
    except CorpusError:
        return None


def _matching(item: str) -> list[StoreEntry]:
    if is_uri(item):
        matched = object_stores.matching(item)
    else:
        matched = [_stat(name) for name in glob.glob(item, recursive=True)]
    matched = [found for found in matched if not _is_mark(found.name)]
    if "**" in _parts(item):
        # It also matches folders on the way.
        matched = [found for found in matched if found.kind != FileType.Directory]
    if not matched:
        raise CorpusError(f"{redact(item)}: no file has this name or matches it as a pattern")
    for found in _sorted(matched):
        if found.kind == FileType.Directory:
            raise CorpusError(
                f"{redact(found.name)}: a folder that matches {redact(item)}; expected files only. "
                "A pattern with ** matches the files in folders"
            )
    return _sorted(matched)


def _sorted(found: Iterable[StoreEntry]) -> list[StoreEntry]:
    return sorted(found, key=lambda entry: _parts(entry.name))


def _parts(name: str) -> list[str]:
    return (Uri.of(name).path if is_uri(name) else name).split("/")


def _stat(name: str) -> StoreEntry:
    try:
        status = os.stat(name)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return StoreEntry(name, FileType.NotFound)
    except OSError as error:
        raise CorpusError(f"{name}: cannot be read: {error.strerror}") from error
    if S_ISDIR(status.st_mode):
        return StoreEntry(name, FileType.Directory)
    if not S_ISREG(status.st_mode):
        return StoreEntry(name, FileType.Unknown)
    return StoreEntry(name, FileType.File, status.st_size, status.st_mtime_ns)


def _usable(found: StoreEntry) -> DataFile:
    name = redact(found.name)
    if found.kind == FileType.NotFound:
        raise CorpusError(f"{name}: no such file or folder")
    if found.kind != FileType.File:
        raise CorpusError(f"{name}: neither a file nor a folder")
    file = _of_known_kind(found.name)
    return replace(file, size=found.size, modified_ns=found.modified_ns)


def _of_known_kind(name: str) -> DataFile:
    """A file whose name tells its format, or whose first line has fastText's labels."""
    try:
        return DataFile.named(name)
    except CorpusError:
        last = PurePath(Uri.of(name).path if is_uri(name) else name)
        file = DataFile(name, Format.FASTTEXT, COMPRESSIONS.get(last.suffix.lower()))
        with suppress(CorpusError):
            if first_bytes(file, len(PREFIX) + 3).removeprefix(BOM_UTF8).startswith(_LABEL):
                return file
        raise
