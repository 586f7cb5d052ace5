"""The files of a model by their names: those of a folder, or of a zip of one.

Owns how a file is read without trusting it: nothing is unpacked, nothing outside is read, nothing
that is no file is opened, and no more is read than is asked for. Knows no file but the one by
which a model is found in a zip.

Source of the zip format: PKWARE's APPNOTE.TXT. The directory is read by `zipfile`; the contents
are unpacked here, where it shows whether they have the size that is told of them.
"""

import io
import os
import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Protocol

from gatewise.service.model.errors import ModelFolderError

MOST_BYTES = 2**31 - 1
"""Most bytes of a model's files together, and of a zip: as many as a network can have in ONNX."""

_MARKER = "manifest.json"
_MOST_ENTRIES = 10_000
# What unpacks to more than this many times its size is a bomb, unless it is small all the same.
_MOST_TIMES, _SMALL = 200, 64 * 2**20
_ENTRY = b"PK\1\2"
_HEADER = struct.Struct("<4s22xHH")
_HEADER_MARK = b"PK\3\4"
_ENCRYPTED = 1 | 1 << 6 | 1 << 13
_UTF8 = 1 << 11
_DAMAGED = "the zip is damaged or was changed"


class MissingError(ModelFolderError):
    """A file that is not there."""


class TooLargeError(ModelFolderError):
    """A file of more bytes than it may have.

    Attributes:
        found: How many it has.
    """

    def __init__(self, path: Path, most: int, found: int) -> None:
        super().__init__(f"{path}: expected at most {most:,} bytes, found {found:,}")
        self.found = found


class Files(Protocol):
    """The files of a model."""

    @property
    def path(self) -> Path:
        """Where they are; in a zip, the zip's own path and the folder inside it."""

    def read(self, name: str, most: int) -> bytes:
        """The contents of a file.

        Args:
            name: Its name, with forward slashes.
            most: How many bytes it may have.

        Raises:
            TooLargeError: If it has more.
            MissingError: If there is none.
            ModelFolderError: If it is no file, cannot be read, or leads elsewhere.
        """


def files_at(path: Path) -> Files:
    """The files of the folder or the zip at a path.

    Raises:
        ModelFolderError: If neither is there.
    """
    if path.is_dir():
        return _Folder(path)
    if not path.exists():
        what = "does not exist"
    elif path.is_file() and zipfile.is_zipfile(path):
        return _Zip(path)
    else:
        what = "is a file of another kind, or a damaged zip"
    raise ModelFolderError(f"{path}: expected a model folder or a zip of one, but the path {what}")


def is_plain(name: str) -> bool:
    """Whether a name can only be that of a file inside.

    >>> [is_plain(name) for name in ("onnx/model.onnx", "../secret", "/etc/passwd", "C:secret")]
    [True, False, False, False]
    """
    return name.isprintable() and all(
        part not in ("", ".", "..") and not {"\\", ":"} & set(part) for part in name.split("/")
    )


def read_file(path: Path, most: int, name: Path | None = None) -> bytes:
    """The contents of a plain file; a pipe or a device is not even opened.

    Args:
        path: The file, which is no link.
        most: How many bytes it may have.
        name: What to call it in an error, if not by its path.

    Raises:
        TooLargeError: If it has more.
        MissingError: If there is none.
        ModelFolderError: If it is something else than a file, or cannot be read.
    """
    # Should something else take the file's place meanwhile, opening it neither waits nor follows.
    flags = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
    name = name or path
    try:
        _size_of_file(name, os.lstat(path))
        with open(os.open(path, os.O_RDONLY | flags), "rb") as stream:
            size = _size_of_file(name, os.fstat(stream.fileno()))
            if size > most:
                raise TooLargeError(name, most, size)
            return stream.read(size)
    except FileNotFoundError as error:
        raise MissingError(f"{name}: cannot be read: {error.strerror}") from None
    except OSError as error:
        raise ModelFolderError(f"{name}: cannot be read: {error.strerror}") from None


def _size_of_file(path: Path, found: os.stat_result) -> int:
    if not stat.S_ISREG(found.st_mode):
        raise ModelFolderError(f"{path}: expected a file, found something else")
    return found.st_size


class _Folder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str, most: int) -> bytes:
        try:
            real = (self.path / name).resolve()
            inside = is_plain(name) and real.is_relative_to(self.path.resolve())
        except (ValueError, RuntimeError, OSError):  # a NUL in the name, a link to itself
            inside = False
        if not inside:
            raise ModelFolderError(f"{self.path}: {name!r} leads out of the folder")
        return read_file(real, most, self.path / name)


class _Zip:
    def __init__(self, path: Path) -> None:
        self._zip = path
        self._contents = read_file(path.resolve(), MOST_BYTES, path)
        self._entries = self._checked(self._infos())
        folders = {
            name.removesuffix(_MARKER)
            for name in self._entries
            if name.count("/") < 2 and f"/{name}".endswith(f"/{_MARKER}")
        }
        if len(folders) > 1 and "" not in folders:
            raise ModelFolderError(f"{path}: expected one model in the zip, found {len(folders)}")
        self._prefix = "" if "" in folders else "".join(folders)

    @property
    def path(self) -> Path:
        return self._zip / self._prefix

    def read(self, name: str, most: int) -> bytes:
        info = self._entries.get(self._prefix + name)
        if info is None:
            raise MissingError(f"{self.path / name}: cannot be read: it is not in the zip")
        if info.file_size > most:
            raise TooLargeError(self.path / name, most, info.file_size)
        contents = self._unpacked(info)
        if contents is None:
            raise ModelFolderError(f"{self.path / name}: cannot be unpacked: {_DAMAGED}")
        return contents

    def _infos(self) -> list[zipfile.ZipInfo]:
        # Counted first, for each takes hundreds of times its own few bytes once it is read.
        if (count := self._contents.count(_ENTRY)) > _MOST_ENTRIES:
            raise ModelFolderError(
                f"{self._zip}: expected at most {_MOST_ENTRIES:,} files in the zip, found {count:,}"
            )
        try:
            with zipfile.ZipFile(io.BytesIO(self._contents)) as directory:
                return directory.infolist()
        except Exception as error:  # zipfile raises many classes, not all of them its own
            raise ModelFolderError(f"{self._zip}: cannot be read: {_DAMAGED}") from error

    def _checked(self, infos: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
        entries: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            # As it stands there: `filename` ends at a NUL.
            name = info.orig_filename
            if (reason := _reason_against(info)) or name in entries:
                reason = reason or "occurs twice"
                raise ModelFolderError(f"{self._zip}: the name {name[:200]!r} in it {reason}")
            entries[name] = info
        total = sum(info.file_size for info in infos)
        if total > min(MOST_BYTES, max(_SMALL, _MOST_TIMES * len(self._contents))):
            raise ModelFolderError(
                f"{self._zip}: a zip of {len(self._contents):,} bytes that unpacks to {total:,}: "
                "too much to be a model"
            )
        return entries

    def _unpacked(self, info: zipfile.ZipInfo) -> bytes | None:
        """The contents of an entry, or None if they are not as its directory tells."""
        start = info.header_offset + _HEADER.size
        if not _HEADER.size <= start <= len(self._contents):
            return None
        mark, name_size, extra_size = _HEADER.unpack_from(self._contents, info.header_offset)
        name = info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")
        if mark != _HEADER_MARK or self._contents[start : start + name_size] != name:
            return None
        start += name_size + extra_size
        packed = self._contents[start : start + info.compress_size]
        contents = packed
        if info.compress_type == zipfile.ZIP_DEFLATED:
            unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
            try:
                contents = unpacking.decompress(packed, info.file_size + 1)
            except zlib.error:
                return None
            if not unpacking.eof or unpacking.unused_data:
                return None
        if (len(packed), len(contents)) != (info.compress_size, info.file_size):
            return None
        return contents if zlib.crc32(contents) == info.CRC else None


def _reason_against(info: zipfile.ZipInfo) -> str:
    """Why an entry of a zip is refused, or nothing."""
    if not is_plain(info.orig_filename.removesuffix("/")):
        return "is not that of a file inside"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is packed by another method than deflate"
    # The upper half is a mode where the zip was made on Unix, and zero elsewhere.
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is no file"
    return ""
