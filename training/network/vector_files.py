"""Reads word vectors in the text formats of GloVe and fastText, plain or gzipped.

Each line is a word and its numbers. A fastText file (`.vec`) begins with a line of two integers,
the number of words and the width of the vectors; a GloVe file (`.txt`) begins with its first word.
Files may be larger than memory: they are streamed, and only the vectors of the vocabulary are kept.
The number of fields is checked in every line, the numbers in the first line and in those kept.
"""

import io
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gatewise.vocab.errors import GatewiseError

_HEADER = re.compile(rb"\d+ \d+")
_BUFFER_BYTES = 1024 * 1024
_MAX_LINE_BYTES = 1024 * 1024
"""Maximum bytes of a line: 4,096 numbers take a tenth of it."""


class VectorsError(GatewiseError):
    """Pretrained vectors that cannot be used."""


@dataclass(frozen=True)
class FoundVectors:
    """The vectors of a vocabulary's tokens.

    Attributes:
        matrix: A row for each id, float32 `(vocab, width)`; zeros for tokens without a vector.
        known: Whether an id has a vector, `(vocab,)`.
    """

    matrix: NDArray[np.float32]
    known: NDArray[np.bool_]


def read(
    path: Path,
    surfaces: Mapping[int, str],
    vocab_size: int,
    normalize: Callable[[str], str] | None,
) -> FoundVectors:
    """Reads the vectors of a vocabulary's tokens.

    Args:
        path: The file.
        surfaces: The text of each token, by id.
        vocab_size: Ids in the vocabulary.
        normalize: The tokenizer's normalization; None for none.

    Raises:
        VectorsError: If the file cannot be read, or a line of it is malformed.
    """
    ids_of: dict[str, list[int]] = {}
    for id_, text in surfaces.items():
        ids_of.setdefault(text, []).append(id_)
    ids_of_bytes = {text.encode(): ids for text, ids in ids_of.items()}
    known = np.zeros(vocab_size, dtype=np.bool_)
    exact = np.zeros(vocab_size, dtype=np.bool_)
    matrix: NDArray[np.float32] | None = None
    with _lines(path) as lines:
        for line in lines:
            if matrix is None:
                line.check()
                matrix = np.zeros((vocab_size, line.width), dtype=np.float32)
            word = line.word()
            ids = ids_of_bytes.get(word)
            if ids:
                if not exact[ids[0]]:
                    matrix[ids] = line.numbers()
                    exact[ids] = known[ids] = True
            elif normalize:
                ids = ids_of.get(normalize(word.decode(errors="replace")))
                if ids and not known[ids[0]]:
                    matrix[ids] = line.numbers()
                    known[ids] = True
    if matrix is None:
        raise VectorsError(f"{path}: the file has no vectors")
    return FoundVectors(matrix, known)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a file, without its line end; `width` is the length of the file's vectors."""

    path: Path
    number: int
    content: bytes
    width: int

    def word(self) -> bytes:
        """The word before the numbers; in some files it contains spaces."""
        fields = self.content.count(b" ")
        if fields == self.width:
            return self.content.partition(b" ")[0]
        if fields > self.width:
            word = self.content.rsplit(b" ", self.width)[0]
            if not _is_number(word.rpartition(b" ")[2]):
                return word
        raise self.error(f"received {fields} fields after the word")

    def numbers(self) -> NDArray[np.float32]:
        """The vector."""
        fields = self.content.rsplit(b" ", self.width)[1:]
        try:
            with np.errstate(over="ignore"):
                numbers = np.array([float(field) for field in fields]).astype(np.float32)
        except ValueError:
            field = next(field for field in fields if not _is_number(field))
            raise self.error(f"received {_quoted(field)}, which is not a number") from None
        if not np.isfinite(numbers).all():
            field = fields[int(np.argmin(np.isfinite(numbers)))]
            raise self.error(f"received {_quoted(field)}, which is not a finite number")
        return numbers

    def check(self) -> None:
        """Checks that the line is a word and numbers, so that other kinds of files are refused."""
        if self.width < 1 or len(self.content.split(b" ")) < 2:
            raise self.error("received no number")
        self.word()
        self.numbers()

    def error(self, reason: str) -> VectorsError:
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
            yield _parse_lines(path, stream)
    except (OSError, pa.ArrowException) as error:
        raise VectorsError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None


def _parse_lines(path: Path, stream: io.BufferedReader) -> Iterator[_Line]:
    width = None
    number = 0
    while content := stream.readline(_MAX_LINE_BYTES):
        number += 1
        if len(content) == _MAX_LINE_BYTES:
            raise VectorsError(
                f"{path}, line {number}: longer than {_MAX_LINE_BYTES:,} bytes; expected a text "
                "file with a word and its numbers on each line, as GloVe and fastText write it"
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


def _quoted(field: bytes) -> str:
    return repr(field[:40].decode(errors="replace"))
