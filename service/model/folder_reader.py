"""Reads the files of a model folder, of a zip of one, or in memory, without trusting them.

A name never leads out of the folder, nothing is extracted to disk, only regular files are opened,
and every read is limited in size. A link that the folder holds is followed wherever it leads:
caches such as Hugging Face's keep every file once and link to it.

Source of the zip format: PKWARE's APPNOTE.TXT. `zipfile` reads the central directory. The contents
are decompressed here, to stop at the size that the directory declares.
"""

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from gatewise.service.model.errors import ModelFolderError

MAX_BYTES = 2**31 - 1
"""The largest size of a model's files together, and of a zip; also the limit of an ONNX file."""

_MARKER = "manifest.json"
_MAX_ENTRIES = 10_000
# A zip that decompresses to more than this ratio and size is taken for a zip bomb.
_MAX_RATIO, _MIN_BOMB_BYTES = 200, 64 * 2**20
_CENTRAL_MAGIC = b"PK\1\2"
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_LOCAL_MAGIC = b"PK\3\4"
_ENCRYPTED = 1 | 1 << 6 | 1 << 13
_UTF8 = 1 << 11
_DAMAGED = "the zip is damaged or was changed"


class MissingError(ModelFolderError):
    """A file that does not exist."""


class TooLargeError(ModelFolderError):
    """A file that exceeds its size limit."""

    def __init__(self, path: Path, limit: int, found: int) -> None:
        super().__init__(f"{path}: expected at most {limit:,} bytes, found {found:,}")
        self.found = found


class Files(Protocol):
    """The files of a model."""

    @property
    def path(self) -> Path:
        """The folder; for a zip, the path of the zip and of the folder inside it."""

    def read(self, name: str, limit: int) -> bytes:
        """The contents of a file.

        Args:
            name: Its name in the folder, with forward slashes.
            limit: The largest allowed size in bytes.

        Raises:
            TooLargeError: The file is larger.
            MissingError: There is no such file.
            ModelFolderError: It is not a regular file, cannot be read, or its name leads out of the
                folder.
        """


def open_files(path: Path) -> Files:
    """Opens the folder or the zip at a path."""
    if path.is_dir():
        return _Folder(path)
    if not path.exists():
        problem = "does not exist"
    elif path.is_file() and zipfile.is_zipfile(path):
        return _Zip(path)
    else:
        problem = "is a file of another kind, or a damaged zip"
    raise ModelFolderError(
        f"{path}: expected a model folder or a zip of one, but the path {problem}"
    )


def _is_inside(name: str) -> bool:
    """Whether a name can only mean a file inside the folder.

    >>> [_is_inside(name) for name in ("onnx/model.onnx", "../secret", "/etc/passwd", "C:secret")]
    [True, False, False, False]
    """
    return name.isprintable() and all(
        part not in ("", ".", "..") and not {"\\", ":"} & set(part) for part in name.split("/")
    )


def read_file(path: Path, limit: int, name: Path | None = None) -> bytes:
    """The contents of a regular file; links are not followed, pipes and devices not opened.

    Errors call the file by `name`, if there is one.
    """
    # If the file is replaced meanwhile, opening it neither blocks nor follows a link.
    flags = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
    name = name or path
    try:
        _size_of_file(name, os.lstat(path))
        with open(os.open(path, os.O_RDONLY | flags), "rb") as stream:
            size = _size_of_file(name, os.fstat(stream.fileno()))
            if size > limit:
                raise TooLargeError(name, limit, size)
            return stream.read(size)
    except FileNotFoundError as error:
        raise MissingError(f"{name}: cannot be read: {error.strerror}") from None
    except OSError as error:
        raise ModelFolderError(f"{name}: cannot be read: {error.strerror}") from None


def _size_of_file(path: Path, found: os.stat_result) -> int:
    if not stat.S_ISREG(found.st_mode):
        raise ModelFolderError(f"{path}: expected a regular file")
    return found.st_size


class MemoryFiles:
    """The files of a model folder as bytes, by their names in it."""

    path = Path("the model in memory")

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self._contents = contents

    def read(self, name: str, limit: int) -> bytes:
        """The contents of a file; see `Files.read`."""
        if name not in self._contents:
            raise MissingError(f"{self.path / name}: cannot be read: it is missing")
        if len(contents := self._contents[name]) > limit:
            raise TooLargeError(self.path / name, limit, len(contents))
        return contents


class _Folder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str, limit: int) -> bytes:
        if not _is_inside(name):
            raise ModelFolderError(f"{self.path}: {name!r} is outside the folder")
        try:
            real = (self.path / name).resolve()
        except (RuntimeError, OSError):
            raise ModelFolderError(
                f"{self.path / name}: cannot be read: it links to itself"
            ) from None
        return read_file(real, limit, self.path / name)


class _Zip:
    def __init__(self, path: Path) -> None:
        self._zip = path
        self._contents = read_file(path.resolve(), MAX_BYTES, path)
        self._entries = self._check_entries(self._infos())
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

    def read(self, name: str, limit: int) -> bytes:
        info = self._entries.get(self._prefix + name)
        if info is None:
            raise MissingError(f"{self.path / name}: cannot be read: it is not in the zip")
        if info.file_size > limit:
            raise TooLargeError(self.path / name, limit, info.file_size)
        contents = self._decompress(info)
        if contents is None:
            raise ModelFolderError(f"{self.path / name}: cannot be decompressed: {_DAMAGED}")
        return contents

    def _infos(self) -> list[zipfile.ZipInfo]:
        # Counted first: a parsed entry takes hundreds of times its bytes in memory.
        if (count := self._contents.count(_CENTRAL_MAGIC)) > _MAX_ENTRIES:
            raise ModelFolderError(
                f"{self._zip}: expected at most {_MAX_ENTRIES:,} files in the zip, found {count:,}"
            )
        try:
            with zipfile.ZipFile(io.BytesIO(self._contents)) as directory:
                return directory.infolist()
        except Exception as error:  # zipfile raises many classes, not all of them its own
            raise ModelFolderError(f"{self._zip}: cannot be read: {_DAMAGED}") from error

    def _check_entries(self, infos: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
        entries: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            # `filename` is cut at a NUL.
            name = info.orig_filename
            if (reason := _refusal(info)) or name in entries:
                reason = reason or "occurs twice"
                raise ModelFolderError(f"{self._zip}: the entry {name[:200]!r} {reason}")
            entries[name] = info
        total = sum(info.file_size for info in infos)
        if total > min(MAX_BYTES, max(_MIN_BOMB_BYTES, _MAX_RATIO * len(self._contents))):
            raise ModelFolderError(
                f"{self._zip}: a zip of {len(self._contents):,} bytes that decompresses to "
                f"{total:,}: too much for a model"
            )
        return entries

    def _decompress(self, info: zipfile.ZipInfo) -> bytes | None:
        """The contents of an entry; None if they contradict the central directory."""
        start = info.header_offset + _LOCAL_HEADER.size
        if not _LOCAL_HEADER.size <= start <= len(self._contents):
            return None
        magic, name_size, extra_size = _LOCAL_HEADER.unpack_from(self._contents, info.header_offset)
        name = info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")
        if magic != _LOCAL_MAGIC or self._contents[start : start + name_size] != name:
            return None
        start += name_size + extra_size
        packed = self._contents[start : start + info.compress_size]
        contents = packed
        if info.compress_type == zipfile.ZIP_DEFLATED:
            decompressor = zlib.decompressobj(-zlib.MAX_WBITS)
            try:
                contents = decompressor.decompress(packed, info.file_size + 1)
            except zlib.error:
                return None
            if not decompressor.eof or decompressor.unused_data:
                return None
        if (len(packed), len(contents)) != (info.compress_size, info.file_size):
            return None
        return contents if zlib.crc32(contents) == info.CRC else None


def _refusal(info: zipfile.ZipInfo) -> str:
    """Why an entry of a zip is refused; empty if it is not."""
    if not _is_inside(info.orig_filename.removesuffix("/")):
        return "is outside the folder"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "uses a compression method other than deflate"
    # The upper half is the file mode if the zip was made on Unix, and zero otherwise.
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is not a regular file"
    return ""
