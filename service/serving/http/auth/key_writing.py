"""How a key gets into the file of API keys. Knows nothing of what the file is for.

Apart from the rest of the keys: the service only reads, and need not load what writes.
"""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import lock_descriptor
from gatewise.service.serving.http.auth.key_file import KeyEntry, parse, read
from gatewise.vocab.corpus.data_files import writing, written_whole


def add(path: Path, entry: KeyEntry) -> None:
    """Writes an entry behind those of a file, which is made if it is not there.

    A new file is its owner's alone, mode 0600; one that was there keeps its mode and, where that is
    allowed, its owner, so that the service can go on reading it.

    Raises:
        KeysError: If the file that is there cannot be used.
        CorpusError: If it cannot be written.
    """
    path = path.resolve()  # a link stays one
    with writing(path), _alone(path.parent):
        _add(path, entry)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lets one process at a time read and write a file of a folder.

    The folder itself is locked, so that no file stays behind; Windows cannot open one.
    """
    if sys.platform == "win32" or not folder.is_dir():
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        lock_descriptor(descriptor, poll_interval=0.01)
        yield
    finally:
        os.close(descriptor)


def _add(path: Path, entry: KeyEntry) -> None:
    content, former = b"", None
    if path.exists():
        content, former = read(path), path.stat()
        if content and not content.endswith(b"\n"):
            content += b"\n"
    content += entry.line().encode() + b"\n"
    parse(content, path)
    mode = stat.S_IMODE(former.st_mode) if former else 0o600
    with written_whole(path) as temporary:
        # Made with no rights for anybody else: the mode is not left to the moment after.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content)
        if former:
            with suppress(PermissionError, AttributeError):  # AttributeError: not on Windows
                os.chown(temporary, former.st_uid, former.st_gid)
        temporary.chmod(mode)
