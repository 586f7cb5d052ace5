"""A teacher's vectors of texts on disk, by text, so that no text is read by it twice.

A folder for each teacher, with two flat files that only grow: digests of texts, and their vectors
in 16-bit floats. What a killed process left incomplete at the end of either is cut off.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from gatewise.training.teacher.teacher import DIGEST_BYTES, Teacher, TeacherError, text_digest
from gatewise.vocab.atomic_files import translate_write_errors

_CHUNK = 512
"""Texts that are read and written together."""

OnTexts = Callable[[int], None]
"""Called with the number of texts that were just done."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Makes a folder of caches, and keeps other runs out of it.

    Raises:
        GatewiseError: If it cannot be written, or another run uses it.
    """
    lock = FileLock(folder / "lock")
    with translate_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise TeacherError(
                f"{folder}: another run keeps its teacher's results there: wait for its end, or "
                "set teacher.cache to another folder"
            ) from None
    try:
        yield
    finally:
        lock.release()


class VectorCache:
    """The vectors of one teacher."""

    def __init__(self, teacher: Teacher, folder: Path) -> None:
        """Reads which texts are there.

        Args:
            teacher: The teacher, which reads those that are not.
            folder: Folder of the caches of several teachers, locked.
        """
        self._teacher = teacher
        self._folder = folder / teacher.fingerprint[:32]
        with translate_write_errors(self._folder):
            self._folder.mkdir(exist_ok=True)
            for name in ("digests", "vectors"):
                (self._folder / name).touch()
        self._rows = self._known()

    def vectors(
        self, texts: Sequence[str], on_texts: OnTexts = lambda _: None
    ) -> NDArray[np.float32]:
        """The vectors of some texts, `(texts, width)`.

        Args:
            texts: The texts.
            on_texts: Called as they are done; those that were kept are done at once.
        """
        if not texts:
            return np.empty((0, self._teacher.width), dtype=np.float32)
        keys = [text_digest(text) for text in texts]
        missing = {
            key: text for key, text in zip(keys, texts, strict=True) if key not in self._rows
        }
        counts, new = Counter(keys), list(missing)
        on_texts(len(keys) - sum(counts[key] for key in new))
        for start in range(0, len(new), _CHUNK):
            chunk = new[start : start + _CHUNK]
            self._append(chunk, self._teacher.vectors([missing[key] for key in chunk]))
            on_texts(sum(counts[key] for key in chunk))
        rows = np.array([self._rows[key] for key in keys], dtype=np.int64)
        file = np.memmap(self._folder / "vectors", dtype=np.float16, mode="r")
        return np.asarray(file.reshape(-1, self._teacher.width)[rows], dtype=np.float32)

    def count_missing(self, texts: Sequence[str]) -> int:
        """How many of some texts have no vector yet."""
        return len({text_digest(text) for text in texts} - self._rows.keys())

    def _known(self) -> dict[bytes, int]:
        """The row of each digest; what is incomplete is cut off."""
        sizes = {"digests": DIGEST_BYTES, "vectors": 2 * self._teacher.width}
        files = {self._folder / name: size for name, size in sizes.items()}
        count = min(file.stat().st_size // size for file, size in files.items())
        for file, size in files.items():
            with translate_write_errors(file):
                os.truncate(file, count * size)
        found = (self._folder / "digests").read_bytes()
        return {found[row * DIGEST_BYTES : (row + 1) * DIGEST_BYTES]: row for row in range(count)}

    def _append(self, keys: list[bytes], vectors: NDArray[np.float32]) -> None:
        with translate_write_errors(self._folder):
            # The digests last: a row counts once both are there.
            with (self._folder / "vectors").open("ab") as file:
                file.write(vectors.astype(np.float16).tobytes())
            with (self._folder / "digests").open("ab") as file:
                file.write(b"".join(keys))
        for key in keys:
            self._rows[key] = len(self._rows)
