"""Which data files an input stands for: a file, a folder, a pattern, a URI, standard input.

Owns what a pattern is, the order of files, and that no file is read twice. Knows nothing of what
is in a file.
"""

import glob
import os
import stat
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from gatewise.vocab.corpus import object_stores
from gatewise.vocab.corpus.data_files import COMPRESSIONS, SUFFIXES, DataFile, Format
from gatewise.vocab.corpus.object_stores import StoreEntry
from gatewise.vocab.corpus.standard_input import NAME as STANDARD_INPUT
from gatewise.vocab.corpus.standard_input import standard_input as take_standard_input
from gatewise.vocab.corpus.uris import Uri, identity, is_uri, redact
from gatewise.vocab.errors import ArgumentError, CorpusError


def data_files(
    *inputs: str | os.PathLike[str], standard_input: str | None = None
) -> tuple[DataFile, ...]:
    """List the data files that inputs stand for, in their order.

    A folder stands for the files in it, sorted by name; hidden files (`.name`) are skipped, and
    folders inside it are refused rather than silently left out. A name with `*`, `?` or `[` that
    nothing is called by is a pattern and stands for the files that match it, sorted by name; `**`
    reaches through folders. `-` alone is standard input. All but that may be URIs, in which a
    pattern's `?` is written `%3F`.

    Args:
        inputs: Paths, patterns and URIs.
        standard_input: The format of standard input: a suffix of `SUFFIXES`, and of
            `COMPRESSIONS` if it is compressed, without the first dot.

    Raises:
        CorpusError: Nothing is there, a file is empty, a file is of no known kind, a file is
            named twice, or a store does not answer.
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
    for given in inputs:
        item = os.fspath(given)
        folder, found = _expanded(item)
        here: dict[str, str] = {}
        for file in map(_usable, found):
            name = identity(file.name)
            # Links inside one folder are as they were put there.
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
    """Refuse a local file that is no longer what it was when it was found.

    Objects of stores are replaced whole, and standard input is read once; neither is looked at.

    Raises:
        CorpusError: Its size or its time of change is another.
    """
    if is_uri(file.name) or file.size is None:
        return
    found = _look(file.name)
    if (found.size, found.modified_ns) != (file.size, file.modified_ns):
        raise CorpusError(
            f"{file}: was changed while it was read. Wait until it is written, and begin anew"
        )


def would_match(item: str, name: str) -> bool:
    """Tell whether an input is a pattern that stands for a file of a certain name.

    Args:
        item: The input as it was given.
        name: A path or a URI; nothing need be there.

    Raises:
        CorpusError: A store does not answer.
    """
    if not _is_pattern(item):
        return False
    known = (object_stores.look(item) if is_uri(item) else _look(item)).kind
    return known == "missing" and object_stores.fits(identity(name), identity(item))


def _standard_input(told: str | None) -> DataFile:
    known = ", ".join(suffix[1:] for suffix, form in SUFFIXES.items() if form is not Format.PARQUET)
    expected = f"Expected {known}, alone or followed by {' or '.join(COMPRESSIONS)}"
    if told is None:
        raise ArgumentError(f"{STANDARD_INPUT}: no format is given. {expected}")
    try:
        file = DataFile.named(f"-.{told.removeprefix('.')}")
    except CorpusError as error:
        raise ArgumentError(f"{STANDARD_INPUT}: unknown format {told!r}. {expected}") from error
    if file.format is Format.PARQUET:
        raise ArgumentError(
            f"{STANDARD_INPUT}: Parquet is read from its end, which a stream does not have yet. "
            "Write it to a file first"
        )
    return replace(file, name=STANDARD_INPUT, pipe=take_standard_input())


def _expanded(item: str) -> tuple[bool, list[StoreEntry]]:
    """Whether an input is a folder, and the files that it stands for."""
    found = object_stores.look(item) if is_uri(item) else _look(item)
    if found.kind == "folder":
        return True, _in_folder(item)
    if found.kind == "missing" and _is_pattern(item):
        return False, _matching(item)
    return False, [found]


def _is_pattern(item: str) -> bool:
    return glob.has_magic(Uri.of(item).path if is_uri(item) else item)


def _in_folder(item: str) -> list[StoreEntry]:
    try:
        inside = (
            object_stores.inside(item)
            if is_uri(item)
            else [_look(str(entry)) for entry in Path(item).iterdir()]
        )
    except OSError as error:
        raise CorpusError(f"{item}: cannot be read: {error.strerror}") from error
    inside = _sorted(found for found in inside if not _parts(found.name)[-1].startswith("."))
    if not inside:
        raise CorpusError(f"{redact(item)}: the folder holds no data files")
    for found in inside:
        if found.kind == "folder":
            raise CorpusError(
                f"{redact(found.name)}: a folder inside the corpus folder; expected files only"
            )
    return inside


def _matching(item: str) -> list[StoreEntry]:
    if is_uri(item):
        matched = object_stores.matching(item)
    else:
        matched = [_look(name) for name in glob.glob(item, recursive=True)]
    if "**" in _parts(item):
        # It matches the folders on its way as well.
        matched = [found for found in matched if found.kind != "folder"]
    if not matched:
        raise CorpusError(f"{redact(item)}: no file has this name or matches it as a pattern")
    for found in _sorted(matched):
        if found.kind == "folder":
            raise CorpusError(
                f"{redact(found.name)}: a folder that matches {redact(item)}; expected files only. "
                "With ** a pattern reaches into folders"
            )
    return _sorted(matched)


def _sorted(found: Iterable[StoreEntry]) -> list[StoreEntry]:
    return sorted(found, key=lambda entry: _parts(entry.name))


def _parts(name: str) -> list[str]:
    return (Uri.of(name).path if is_uri(name) else name).split("/")


def _look(name: str) -> StoreEntry:
    try:
        status = os.stat(name)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return StoreEntry(name, "missing")
    except OSError as error:
        raise CorpusError(f"{name}: cannot be read: {error.strerror}") from error
    if stat.S_ISDIR(status.st_mode):
        return StoreEntry(name, "folder")
    if not stat.S_ISREG(status.st_mode):
        return StoreEntry(name, "other")
    return StoreEntry(name, "file", status.st_size, status.st_mtime_ns)


def _usable(found: StoreEntry) -> DataFile:
    name = redact(found.name)
    if found.kind == "missing":
        raise CorpusError(f"{name}: no such file or folder")
    if found.kind != "file":
        raise CorpusError(f"{name}: neither a file nor a folder")
    file = DataFile.named(found.name)
    if found.size == 0:
        raise CorpusError(f"{name}: the file is empty")
    return replace(file, size=found.size, modified_ns=found.modified_ns)
