"""Progress of reading, in bytes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class ReadProgress:
    """Bytes read so far, summed over the files that it follows one after another.

    Bytes count as stored, before decompression. Reading is about a megabyte ahead of the rows.
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
        """Follow one file inside the block.

        Args:
            position: Returns the bytes read of this file; called once more at the end.
        """
        self._position = position
        try:
            yield
        finally:
            self._before += position()
            self._position = int
