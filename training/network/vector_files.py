"""Word vectors as GloVe and fastText write them: a line a word, the word and then its numbers.

A fastText file (`.vec`) begins with a line of two integers, how many words and how many numbers
each; a GloVe file (`.txt`) begins with its first word. Files are larger than memory: they are read
line by line, plain or in gzip, and only the vectors that are asked for are kept. The number of
fields is checked in every line, the numbers themselves in the first and in those that are kept.
"""

import io
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from gatewise.vocab.errors import GatewiseError
from numpy.typing import NDArray

_HEADER = re.compile(rb"\d+ \d+")
_BUFFER_BYTES = 1024 * 1024
_LINE_LIMIT = 1024 * 1024
"""Bytes of a line beyond which a file is none of vectors: 4,096 numbers take a tenth of it."""


class VectorsError(GatewiseError):
    """Pretrained vectors that cannot be used."""


@dataclass(frozen=True)
class FoundVectors:
    """The vectors of a dictionary's entries.

    Attributes:
        matrix: A row for each id, float32 `(vocab, width)`; zeros where none is known.
        known: Whether an id has a vector, `(vocab,)`.
    """

    matrix: NDArray[np.float32]
    known: NDArray[np.bool_]


def read(
    path: Path,
    surfaces: Mapping[int, str],
    vocab_size: int,
    normalized: Callable[[str], str] | None,
) -> FoundVectors:
    """Reads the vectors of the words that a dictionary has.

    Args:
        path: The file.
        surfaces: The text of each entry, by id.
        vocab_size: Ids in the dictionary.
        normalized: What the dictionary makes of a text before it cuts it; None for nothing.

    Raises:
        VectorsError: If the file cannot be read, or a line in it is broken.
    """
    wanted: dict[str, list[int]] = {}
    for id_, text in surfaces.items():
        wanted.setdefault(text, []).append(id_)
    exactly = {text.encode(): ids for text, ids in wanted.items()}
    known = np.zeros(vocab_size, dtype=np.bool_)
    exact = np.zeros(vocab_size, dtype=np.bool_)
    matrix: NDArray[np.float32] | None = None
    with _lines(path) as lines:
        for line in lines:
            if matrix is None:
                line.check()
                matrix = np.zeros((vocab_size, line.width), dtype=np.float32)
            word = line.word()
            ids = exactly.get(word)
            if ids:
                if not exact[ids[0]]:
                    matrix[ids] = line.numbers()
                    exact[ids] = known[ids] = True
            elif normalized:
                ids = wanted.get(normalized(word.decode(errors="replace")))
                if ids and not known[ids[0]]:
                    matrix[ids] = line.numbers()
                    known[ids] = True
    if matrix is None:
        raise VectorsError(f"{path}: the file holds no vector")
    return FoundVectors(matrix, known)


@dataclass(frozen=True, slots=True)
class _Line:
    """One word's line, without its end.

    Attributes:
        path: The file.
        number: Counted from one.
        content: The bytes.
        width: Numbers that each word of the file has.
    """

    path: Path
    number: int
    content: bytes
    width: int

    def word(self) -> bytes:
        """What stands before the numbers; in some files that is words with spaces between."""
        fields = self.content.count(b" ")
        if fields == self.width:
            return self.content.partition(b" ")[0]
        if fields > self.width:
            word = self.content.rsplit(b" ", self.width)[0]
            if not _is_number(word.rpartition(b" ")[2]):
                return word
        raise self.broken(f"received {fields} fields after the word")

    def numbers(self) -> NDArray[np.float32]:
        """The vector."""
        fields = self.content.rsplit(b" ", self.width)[1:]
        try:
            with np.errstate(over="ignore"):
                numbers = np.array([float(field) for field in fields]).astype(np.float32)
        except ValueError:
            field = next(field for field in fields if not _is_number(field))
            raise self.broken(f"received {_shown(field)}, which is no number") from None
        if not np.isfinite(numbers).all():
            field = fields[int(np.argmin(np.isfinite(numbers)))]
            raise self.broken(f"received {_shown(field)}, which is no finite number")
        return numbers

    def check(self) -> None:
        """Checks that the line is a word and numbers: a file that is none of vectors fails here."""
        if self.width < 1 or len(self.content.split(b" ")) < 2:
            raise self.broken("received no number")
        self.word()
        self.numbers()

    def broken(self, reason: str) -> VectorsError:
        expected = f"{self.width} numbers" if self.width > 0 else "its numbers"
        return VectorsError(
            f"{self.path}, line {self.number}: expected a word and {expected}, separated by "
            f"single spaces, as GloVe and fastText write them; {reason}"
        )


@contextmanager
def _lines(path: Path) -> Iterator[Iterator[_Line]]:
    compression = "gzip" if path.suffix.lower() == ".gz" else None
    try:
        with (
            pa.input_stream(str(path), compression=compression) as raw,
            io.BufferedReader(raw, _BUFFER_BYTES) as stream,
        ):
            yield _cut(path, stream)
    except (OSError, pa.ArrowException) as error:
        raise VectorsError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None


def _cut(path: Path, stream: io.BufferedReader) -> Iterator[_Line]:
    width = None
    number = 0
    while content := stream.readline(_LINE_LIMIT):
        number += 1
        if len(content) == _LINE_LIMIT:
            raise VectorsError(
                f"{path}, line {number}: longer than {_LINE_LIMIT:,} bytes; expected a text file "
                "of a word and its numbers a line, as GloVe and fastText write them"
            )
        content = content.rstrip(b" \r\n")
        if width is None:
            if _HEADER.fullmatch(content):
                width = int(content.split()[1])
                continue
            width = content.count(b" ")
        if content:
            yield _Line(path, number, content, width)


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _shown(field: bytes) -> str:
    return repr(field[:40].decode(errors="replace"))
