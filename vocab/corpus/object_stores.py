"""Object stores and other file systems with URIs: list, read and write objects.

They are pyarrow's file systems, which find credentials in the environment, a profile or the
instance. Their errors become one line without secrets.
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

from gatewise.vocab.corpus.uris import Uri, redact, redact_message
from gatewise.vocab.errors import CorpusError, OutputError

_ANSWER_SECONDS = 15
"""Seconds in which a store must answer the first request, where it would be tried far longer."""

_GIVEN_UP = "Retry policy exhausted"
"""What the client of Google's store says if it has no answer."""

_SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs", "file")


@dataclass(frozen=True, slots=True)
class StoreEntry:
    """An entry of a file system: its path, or its URI with its options.

    Size in bytes and modification time in nanoseconds since 1970 are those of a file, if known.
    """

    name: str
    kind: pafs.FileType
    size: int | None = None
    modified_ns: int | None = None


@contextmanager
def translate_errors(name: str, action: Literal["read", "written"]) -> Iterator[None]:
    """Turn an error of pyarrow or the operating system into one with the name, free of secrets.

    Raises:
        CorpusError: The path or URI cannot be read.
        OutputError: It cannot be written.
    """
    try:
        yield
    except (OSError, UnicodeError, pa.ArrowException) as error:
        reason = redact_message(str(error), name)
        kind = CorpusError if action == "read" else OutputError
        raise kind(f"{redact(name)}: cannot be {action}: {reason}") from error


def stat(text: str) -> StoreEntry:
    """The entry of a URI.

    Raises:
        CorpusError: The URI names no known store, or the store does not answer.
    """
    with translate_errors(text, "read"):
        system, path = _resolved(text)
        return _found(text, system.get_file_info(path))


def inside(text: str) -> list[StoreEntry]:
    """List the entries of a folder, in no order.

    Raises:
        CorpusError: The store does not answer.
    """
    return _listed(Uri.of(text), Uri.of(text).path, recursive=False)


def matching(text: str) -> list[StoreEntry]:
    """List the files and folders that match a pattern, in no order.

    `*`, `?` and `[` match within one part of the path, as in the shell; `**` matches any number of
    parts. None of them matches a leading dot.

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
    """Whether a name matches a pattern, both from `uris.identity`; see `matching`."""
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
    """Whether a URI names a file or a folder.

    Raises:
        CorpusError: The URI names no known store, or the store does not answer.
    """
    return stat(text).kind is not pafs.FileType.NotFound


def open_object(text: str) -> pa.NativeFile:
    """Open an object for reading in any order; every read is a request.

    Raises:
        OSError: The object cannot be read.
        pyarrow.ArrowException: The same.
    """
    system, path = _resolved(text)
    return system.open_input_file(path)


def send(source: Path, text: str) -> None:
    """Upload a local file to a URI; the object appears when it is complete.

    The file is written at once, from the page cache: pyarrow cannot abort a stream, and completes
    an object with what it has when the stream is dropped. If a part of the upload fails, there is
    no object.

    Raises:
        OutputError: The URI names no known store, or the object cannot be written.
    """
    with translate_errors(text, "written"):
        system, path = _resolved(text)
        content = pa.memory_map(os.fsencode(source)).read_buffer() if source.stat().st_size else b""
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
    if not info.is_file:
        return StoreEntry(name, info.type)
    modified = info.mtime_ns
    if modified is not None and Uri.of(name).scheme != "file":
        # A store reports milliseconds in a listing, but seconds for a single object.
        modified -= modified % 1_000_000_000
    return StoreEntry(name, info.type, info.size, modified)


def _resolved(text: str) -> tuple[pafs.FileSystem, str]:
    """The file system of a URI, and the path of the object in it."""
    uri = Uri.of(text)
    # Creating a client takes requests, so there is one per bucket. A forked process must not use
    # it, because the client's threads do not exist there.
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
    # For others pyarrow asks packages that are installed by chance, whose errors are their own.
    if uri.scheme.lower() not in _SCHEMES:
        raise pa.ArrowInvalid(
            f"{uri.scheme}:// is not supported. Expected s3://, gs://, abfs://, hdfs:// or file://"
        )
    if uri.scheme.lower() in ("gs", "gcs") and "retry_limit_seconds=" not in uri.query:
        _check_answer(store, uri.query)
    system, root = pafs.FileSystem.from_uri(store)
    return system, str(root)


def _check_answer(store: str, query: str) -> None:
    """Checks that Google's store can be reached, which would be tried for a quarter of an hour.

    Later requests may be tried as long as that, because a large object takes a while.

    Raises:
        OSError: It does not answer.
    """
    limit = f"{'&' if query else '?'}retry_limit_seconds={_ANSWER_SECONDS}"
    system, root = pafs.FileSystem.from_uri(store + limit)
    try:
        system.get_file_info(root)
    except OSError as error:
        # Whatever else it answers, such as that the bucket may not be described, is an answer.
        if _GIVEN_UP in str(error):
            raise OSError(
                f"no answer in {_ANSWER_SECONDS} seconds: check the network and the credentials, "
                f"or set another limit in the URI, such as ?retry_limit_seconds=300: {error}"
            ) from None
