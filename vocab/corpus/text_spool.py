"""Texts of a stream that can be read a second time, kept on disk and not in memory."""

import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from gatewise.vocab.atomic_files import translate_write_errors


class TextSpool:
    """Texts that were written to a file while they passed; iterating reads them from the start.

    Args:
        file: An empty file, open for writing and reading.
        path: What to call it in an error.
    """

    def __init__(self, file: TextIO, path: Path) -> None:
        self._file = file
        self._path = path

    def passing(self, texts: Iterable[str]) -> Iterator[str]:
        """Gives the texts, and keeps each."""
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
def keeping(folder: Path) -> Iterator[TextSpool]:
    """A place for texts on the disk of a folder, empty at first; gone after the block.

    Raises:
        CorpusError: If nothing can be written there.
    """
    with ExitStack() as opened:
        with translate_write_errors(folder):
            # Without a name: nothing is left behind, however the process ends.
            file = opened.enter_context(
                tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n", dir=folder)
            )
        yield TextSpool(file, folder)
