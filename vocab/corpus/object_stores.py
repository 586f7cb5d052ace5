"""Object stores and other file systems with a URI: looked at, listed, read, written to.

Pyarrow's file systems do the work, and find the credentials where they always do: in the
environment, in a profile, with the instance. What they say is told in one line, without secrets.
Knows nothing of formats and rows.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.fs as pafs
from gatewise.vocab.corpus.uris import Uri, redact, scrubbed
from gatewise.vocab.errors import CorpusError, OutputError

Kind = Literal["file", "folder", "missing", "other"]
_KINDS: dict[pafs.FileType, Kind] = {
    pafs.FileType.File: "file",
    pafs.FileType.Directory: "folder",
    pafs.FileType.NotFound: "missing",
}


@dataclass(frozen=True, slots=True)
class StoreEntry:
    """What there is under a name.

    Attributes:
        name: A path, or a URI with its options.
        kind: Whether it is a file, a folder, nothing, or something else such as a device.
        size: The file's size in bytes, where it is known.
        modified_ns: When the file was last changed, in nanoseconds since 1970, where it is known.
    """

    name: str
    kind: Kind
    size: int | None = None
    modified_ns: int | None = None


@contextmanager
def translate_errors(name: str, action: Literal["read", "written"]) -> Iterator[None]:
    """Turn an error of pyarrow or the operating system into one with the name, free of secrets.

    Args:
        name: The path or the URI.
        action: What the block does with it.

    Raises:
        CorpusError: It cannot be read.
        OutputError: It cannot be written.
    """
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        reason = scrubbed(str(error), name)
        kind = CorpusError if action == "read" else OutputError
        raise kind(f"{redact(name)}: cannot be {action}: {reason}") from error


def look(text: str) -> StoreEntry:
    """Find out what there is under a URI.

    Raises:
        CorpusError: The URI is none of a known store, or the store does not answer.
    """
    with translate_errors(text, "read"):
        system, path = _resolved(text)
        return _found(text, system.get_file_info(path))


def inside(text: str) -> list[StoreEntry]:
    """List what lies directly in a folder, in no order.

    Raises:
        CorpusError: The store does not answer.
    """
    return _listed(Uri.of(text), Uri.of(text).path, recursive=False)


def matching(text: str) -> list[StoreEntry]:
    """List what a pattern matches, files and folders, in no order.

    `*`, `?` and `[` are those of the shell, each within one part of the path, and `**` stands for
    any number of parts. None of them matches a name that begins with a dot.

    Raises:
        CorpusError: The store does not answer.
    """
    uri = Uri.of(text)
    parts = uri.path.split("/")
    plain = next(number for number, part in enumerate(parts) if set(part) & set("*?["))
    folder, wanted = "/".join(parts[:plain]), parts[plain:]
    recursive = len(wanted) > 1 or wanted == ["**"]
    return [
        found
        for found in _listed(uri, folder, recursive=recursive)
        if _matches(Uri.of(found.name).path.split("/")[plain:], wanted)
    ]


def fits(name: str, pattern: str) -> bool:
    """Tell whether a name fits a pattern, as `matching` does; both as `uris.identity`."""
    return _matches(name.split("/"), pattern.split("/"))


def _matches(names: list[str], wanted: list[str]) -> bool:
    if not wanted or not names:
        return not names and all(part == "**" for part in wanted)
    hidden = names[0].startswith(".")
    if wanted[0] == "**":
        deeper = not hidden and _matches(names[1:], wanted)
        return deeper or _matches(names, wanted[1:])
    fits = fnmatchcase(names[0], wanted[0]) and hidden <= wanted[0].startswith(".")
    return fits and _matches(names[1:], wanted[1:])


def exists(text: str) -> bool:
    """Tell whether there is a file, or a folder, under a URI.

    Raises:
        CorpusError: The URI is none of a known store, or the store does not answer.
    """
    return look(text).kind != "missing"


def open_object(text: str) -> pa.NativeFile:
    """Open an object to be read, in any order; every read of it is a request.

    Raises:
        OSError: The object cannot be read; so is a `pyarrow.ArrowException`.
    """
    system, path = _resolved(text)
    return system.open_input_file(path)


def send(source: Path, text: str) -> None:
    """Put a local file under a URI, where it appears when it is whole.

    It goes in one write, from the page cache. A stream that was begun cannot be given up: pyarrow
    has no way to abort one, and completes an object with what it has when the stream is dropped.
    Where a part of the upload fails it completes nothing.

    Raises:
        OutputError: The URI is none of a known store, or the object cannot be written.
    """
    with translate_errors(text, "written"):
        system, path = _resolved(text)
        content = pa.memory_map(str(source)).read_buffer() if source.stat().st_size else b""
        stream = system.open_output_stream(path, compression=None)
        stream.write(content)
        stream.close()


def _listed(uri: Uri, folder: str, *, recursive: bool) -> list[StoreEntry]:
    with translate_errors(uri.at(folder), "read"):
        system, path = _resolved(uri.at(folder))
        root = path.removesuffix(folder)
        selector = pafs.FileSelector(path, recursive=recursive, allow_not_found=True)
        return [
            _found(uri.at(info.path[len(root) :].strip("/")), info)
            for info in system.get_file_info(selector)
        ]


def _found(name: str, info: pafs.FileInfo) -> StoreEntry:
    kind = _KINDS.get(info.type, "other")
    if kind != "file":
        return StoreEntry(name, kind)
    modified = info.mtime_ns
    if modified is not None and Uri.of(name).scheme != "file":
        # A store tells milliseconds in a list of objects, and seconds of one object.
        modified -= modified % 1_000_000_000
    return StoreEntry(name, kind, info.size, modified)


def _resolved(text: str) -> tuple[pafs.FileSystem, str]:
    """Find the file system of a URI, and the object's path in it."""
    uri = Uri.of(text)
    # A client costs requests of its own; one does for all objects of a bucket. It must not be
    # taken over by a forked process, which has none of its threads.
    system, root = _file_system(uri.store, os.getpid())
    if not uri.path:
        return system, root
    return system, f"{root}{uri.path}" if root.endswith("/") else f"{root}/{uri.path}".lstrip("/")


@lru_cache(maxsize=16)
def _file_system(store: str, _process: int) -> tuple[pafs.FileSystem, str]:
    uri = Uri.of(store)
    if any("=" not in option for option in filter(None, uri.query[1:].split("&"))):
        raise pa.ArrowInvalid(
            "expected options such as region=eu-west-1 after the question mark. The ? of a "
            "pattern is written %3F in a URI"
        )
    try:
        system, root = pafs.FileSystem.from_uri(store)
    except pa.ArrowInvalid as error:
        if "Unrecognized filesystem" not in str(error):
            raise
        raise pa.ArrowInvalid(
            f"{uri.scheme}:// is no store that can be read. Expected s3://, gs://, abfs://, "
            "hdfs:// or file://"
        ) from error
    return system, str(root)
