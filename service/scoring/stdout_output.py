"""An output that is written to standard output at once; a run cannot resume it.

It has the interface of `gatewise.service.scoring.journaled_output.JournaledOutput`.
"""

import sys
import tempfile
from pathlib import Path
from typing import Self

from gatewise.service.scoring.journaled_output import Progress


class StdoutOutput:
    """Writes rows to standard output, and rejected rows to a temporary file.

    Attributes:
        progress: The start of the input.
        resumable: Always false.
    """

    def __init__(self) -> None:
        self.progress = Progress()
        self.resumable = False
        self._folder = tempfile.TemporaryDirectory(prefix="gatewise-")
        # Unbuffered, so that it can be read at any time.
        self._rejected = self.rejected.open("wb", buffering=0)

    def write(self, rows: bytes, rejected: bytes) -> None:
        """Writes rows and rejected rows.

        Raises:
            OSError: They cannot be written; `BrokenPipeError` if the reader has gone.
        """
        self._rejected.write(rejected)
        sys.stdout.buffer.write(rows)

    def commit(self, progress: Progress) -> None:
        """Does nothing, because a run cannot resume."""

    def flush(self) -> None:
        """Flushes standard output."""
        sys.stdout.buffer.flush()

    @property
    def rejected(self) -> Path:
        """The file of the rejected rows, in JSON Lines."""
        return Path(self._folder.name, "rejected")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._rejected.close()
        self._folder.cleanup()
