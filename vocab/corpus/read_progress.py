"""How much of its input a reading has done, in bytes. Knows nothing of files and rows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class ReadProgress:
    """Bytes of storage read so far, told by what reads them.

    A meter may follow several files, one after the other; then it adds them up. Bytes are those
    that are stored, compressed where the file is. Reading runs ahead of the rows that are given
    out, by a megabyte or so.
    """

    def __init__(self) -> None:
        self._before = 0
        self._position: Callable[[], int] = int

    @property
    def done(self) -> int:
        """Bytes read so far."""
        return self._before + self._position()

    @contextmanager
    def following(self, position: Callable[[], int]) -> Iterator[None]:
        """Ask for the position in a file whenever somebody wants to know, until the block ends.

        Args:
            position: Tells the bytes of this file that are read. Called once more at the end.
        """
        self._position = position
        try:
            yield
        finally:
            self._before += position()
            self._position = int
