"""Standard input as a file that can be opened three times.

First for its encoding and its delimiter, then for its header, last for its rows. A pipe can be
read only once, so the bytes of the first two passes are kept.
"""

import io
import sys
from typing import BinaryIO

from gatewise.vocab.errors import CorpusError

NAME = "standard input"
"""The name of standard input in messages."""

_PASSES = 3


class Pipe:
    """A stream of bytes that can be opened twice for its first bytes, then once to its end.

    A pickled copy in another process has no bytes.
    """

    def __init__(self, source: BinaryIO | None) -> None:
        self._source = source
        self._head = bytearray()
        self._opened = 0

    def __reduce__(self) -> tuple[type["Pipe"], tuple[None]]:
        return Pipe, (None,)

    def open(self) -> io.RawIOBase:
        """Open the stream from its beginning.

        Raises:
            CorpusError: It was opened three times already, or belongs to another process.
        """
        if self._source is None:
            raise CorpusError(f"{NAME}: can only be read by the process that it belongs to")
        self._opened += 1
        if self._opened > _PASSES:
            raise CorpusError(
                f"{NAME}: can be read only once, and this command reads its input several times. "
                "Write it to a file first"
            )
        return _Pass(self._source, self._head, keep=self._opened < _PASSES)


class _Pass(io.RawIOBase):
    """One pass over a pipe; closing it leaves the pipe open.

    Args:
        source: The pipe.
        head: The bytes of the passes before.
        keep: Whether a pass follows.
    """

    def __init__(self, source: BinaryIO, head: bytearray, *, keep: bool) -> None:
        super().__init__()
        self._source, self._head, self._keep = source, head, keep
        self._position = 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        start = self._position
        if start < len(self._head):
            chunk = bytes(self._head[start:] if size < 0 else self._head[start : start + size])
        else:
            chunk = self._source.read(size)
            if self._keep:
                self._head += chunk
            else:
                self._head.clear()
        self._position += len(chunk)
        return chunk


def standard_input() -> Pipe:
    """The standard input of this process.

    Raises:
        CorpusError: It is closed.
    """
    if sys.stdin is None or sys.stdin.closed:
        raise CorpusError(f"{NAME}: it is closed; there is nothing to read")
    return Pipe(sys.stdin.buffer)
