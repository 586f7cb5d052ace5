"""An output that goes to standard output as it comes, and cannot be taken back.

Takes rows as `gatewise.service.scoring.journaled_output` does. Knows nothing of what rows hold.
"""

import sys
import tempfile
from pathlib import Path
from typing import Self

from gatewise.service.scoring.journaled_output import Progress


class StdoutOutput:
    """Rows on their way to standard output; rejected rows wait in a temporary file.

    Attributes:
        progress: Where every run begins.
        kept: Never true: no later run can go on from here.
    """

    def __init__(self) -> None:
        self.progress = Progress()
        self.kept = False
        self._folder = tempfile.TemporaryDirectory(prefix="gatewise-")
        # Without a buffer, so that it can be read at any time.
        self._rejected = self.rejected.open("wb", buffering=0)

    def write(self, rows: bytes, rejected: bytes) -> None:
        """Passes rows on.

        Raises:
            OSError: They cannot be written; `BrokenPipeError` if nobody reads them any more.
        """
        self._rejected.write(rejected)
        sys.stdout.buffer.write(rows)

    def commit(self, progress: Progress) -> None:
        """Does nothing: what was written is out of reach."""

    def flush(self) -> None:
        """Passes on what may be waiting."""
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
