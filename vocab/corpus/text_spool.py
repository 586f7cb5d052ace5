"""A spool: texts of a stream, kept on disk to be read a second time."""

import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from gatewise.vocab.atomic_files import translate_write_errors


class TextSpool:
    """Texts in a file; iterating reads them from the start.

    Args:
        file: An empty file, open for writing and reading.
        path: Its name in errors.
    """

    def __init__(self, file: TextIO, path: Path) -> None:
        self._file = file
        self._path = path

    def spooled(self, texts: Iterable[str]) -> Iterator[str]:
        """Yield the texts, and keep each."""
        for text in texts:
            with translate_write_errors(self._path):
                self._file.write(json.dumps(text, ensure_ascii=False) + "\n")
            yield text

    def __iter__(self) -> Iterator[str]:
        with translate_write_errors(self._path):
            self._file.seek(0)
        for line in self._file:
            yield json.loads(line)


@contextmanager
def open_spool(folder: Path) -> Iterator[TextSpool]:
    """An empty spool on the disk of a folder, deleted after the block.

    Raises:
        CorpusError: The folder is not writable.
    """
    with ExitStack() as opened:
        with translate_write_errors(folder):
            # A file without a name leaves nothing behind if the process is killed.
            file = opened.enter_context(
                tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n", dir=folder)
            )
        yield TextSpool(file, folder)
