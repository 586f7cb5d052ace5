"""Files and folders written atomically: readers see the former version or the complete new one."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gatewise.vocab.errors import OutputError


@contextmanager
def translate_write_errors(path: Path | str) -> Iterator[None]:
    """Turn an `OSError` inside the block into an `OutputError` that names the output."""
    try:
        yield
    except OSError as error:
        reason = " ".join((error.strerror or str(error)).split())
        raise OutputError(f"{path}: cannot be written: {reason}") from error


def check_file_target(path: Path) -> None:
    """Check that a file can be put at `path` by renaming.

    Raises:
        OutputError: The folder does not exist, or `path` is something other than a file.
    """
    if not path.parent.is_dir():
        raise OutputError(f"{path}: cannot be written: there is no folder {path.parent}")
    if path.exists() and not path.is_file():
        # Renaming onto a device such as /dev/null would replace the device itself.
        raise OutputError(f"{path}: cannot be written: it exists and is not a plain file")


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the same folder; rename it to `path` when the block succeeds.

    The bytes are on disk before the rename, so this also holds after a power cut. If the block
    raises, the temporary file is removed and `path` is left as it was.

    Raises:
        OutputError: The folder does not exist, or `path` is something other than a file.
    """
    path = Path(path)
    check_file_target(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        yield temporary
        fsync_path(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    # The file itself is complete; not every file system can sync a folder.
    with suppress(OSError):
        fsync_path(path.parent)


def replace_folder(target: Path, new: Path, old: Path) -> None:
    """Move the folder `new` to `target`.

    Args:
        target: The final path.
        new: The new folder, on the same file system.
        old: Where an existing folder at `target` is moved to; it is moved back after an error.
    """
    if not target.exists():
        new.rename(target)
        return
    target.rename(old)
    try:
        new.rename(target)
    except BaseException:
        old.rename(target)
        raise


def fsync_path(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk.

    Raises:
        OSError: The path does not exist or cannot be flushed.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
