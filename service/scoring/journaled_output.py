"""An output on its way: what is written so far, and how far that is, beside where it will be.

Owns the folder `.NAME.partial` next to an output: its rows, the rejected rows, and a journal that
says up to where both are whole. A run that is broken off at any moment leaves it behind, and the
next one can go on from the last line of the journal: what was written after it is cut off first.
Knows nothing of what rows hold.

The bytes are on disk before the journal says so. The journal is JSON Lines: first what the run was
given, then a line for each time that everything was whole, each with its checksum; a line that is
not whole, or not what was written, counts as not written.
"""

import json
import os
import shutil
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

from filelock import lock_descriptor
from gatewise.service.scoring.chunks import Position
from gatewise.service.scoring.summary import RowCounts
from gatewise.vocab.atomic_files import translate_write_errors
from gatewise.vocab.errors import OutputError
from pydantic import BaseModel, ConfigDict, ValidationError

_FORMAT = 2


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come.

    Attributes:
        position: Where in the input the next window begins.
        counts: What became of the rows before it.
    """

    position: Position = field(default_factory=Position)
    counts: RowCounts = field(default_factory=RowCounts)


class _Entry(BaseModel):
    """A line of the journal: a progress, and how long each file was then."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    progress: Progress
    sizes: tuple[int, int]


class JournaledOutput:
    """An output that grows; use `JournaledOutput.open`.

    Attributes:
        progress: How far it had come when it was opened.
        kept: Whether anything is in the journal, for a later run to go on from.
    """

    def __init__(self, target: str, folder: Path, journal: BinaryIO) -> None:
        self.progress = Progress()
        self.kept = False
        self._target = target
        self._folder = folder
        self._journal = journal
        self._files: list[BinaryIO] = []

    @classmethod
    def open(
        cls, target: str, folder: Path, given: Mapping[str, object], *, resume: bool
    ) -> "JournaledOutput":
        """Begins an output, or goes on with one.

        Args:
            target: What is written in the end; for messages.
            folder: Where it grows; made if it is not there.
            given: What decides the output's bytes, as JSON, by names that a user understands.
            resume: Whether to go on with what is there. If nothing is, the output is begun.

        Raises:
            OutputError: Another run is writing it, what is there was begun with something else,
                or the folder cannot be written.
        """
        with translate_write_errors(target):
            folder.mkdir(mode=0o700, exist_ok=True)
            # Among temporary files a link may be another user's, and lead to a folder of one's own.
            if folder.is_symlink():
                raise OutputError(f"{target}: {folder} is a link; it has to go first")
            if hasattr(os, "geteuid") and folder.stat().st_uid != os.geteuid():
                raise OutputError(f"{target}: {folder} is another user's; it has to go first")
            journal = (folder / "journal").open("a+b")
            staging = cls(target, folder, journal)
            try:
                staging._lock()
                staging._begin(given, resume=resume)
            except BaseException:
                staging.close()
                raise
        return staging

    def write(self, rows: bytes, rejected: bytes) -> None:
        """Appends rows and rejected rows.

        Raises:
            OutputError: They cannot be written.
        """
        self.check()
        with translate_write_errors(self._target):
            for file, contents in zip(self._files, (rows, rejected), strict=True):
                _write(file, contents)

    def commit(self, progress: Progress) -> None:
        """Makes what was written so far outlast whatever comes.

        Args:
            progress: How far that is.

        Raises:
            OutputError: It cannot be written.
        """
        before = self.kept
        # Said first: a signal may come at any moment, also right after the line is written.
        self.kept = True
        try:
            self._commit(progress)
        except OutputError:
            self.kept = before
            raise

    def _commit(self, progress: Progress) -> None:
        with translate_write_errors(self._target):
            for file in self._files:
                os.fsync(file.fileno())
            rows, rejected = (file.tell() for file in self._files)
            self._append(_Entry(progress=progress, sizes=(rows, rejected)).model_dump())

    def check(self) -> None:
        """Makes sure that what was written can still be found.

        A file that was deleted can be written to for hours, and nobody ever sees it.

        Raises:
            OutputError: The folder was deleted, and nothing is kept.
        """
        with translate_write_errors(self._target):
            links = os.fstat(self._journal.fileno()).st_nlink
        if not links:
            self.kept = False
            raise OutputError(
                f"{self._target}: cannot be written: {self._folder}, in which it grew, was deleted"
            )

    @property
    def rows(self) -> Path:
        """The file of the rows."""
        return self._folder / "rows"

    @property
    def rejected(self) -> Path:
        """The file of the rejected rows, in JSON Lines."""
        return self._folder / "rejected"

    def beside(self, name: str) -> Path:
        """Where a further file may be made, to be renamed into place."""
        return self._folder / name

    def close(self) -> None:
        """Leaves everything as it is, for a later run."""
        for file in (*self._files, self._journal):
            with suppress(OSError):
                file.close()

    def discard(self) -> None:
        """Takes everything away; the output is done, or not worth going on with."""
        # The journal first: without it, the rest counts for nothing.
        with suppress(OSError):
            (self._folder / "journal").unlink()
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.kept and error[0] is not None:
            self.close()
        else:
            self.discard()

    def _lock(self) -> None:
        # The journal itself is locked: no further file, and the lock ends with the process.
        if not lock_descriptor(self._journal.fileno(), blocking=False):
            raise OutputError(
                f"{self._target}: another run is writing it; wait for it, or name another file"
            )

    def _begin(self, given: Mapping[str, object], *, resume: bool) -> None:
        header = {"format": _FORMAT, **given}
        entry = self._latest(header) if resume else None
        if entry is not None:
            self.progress, self.kept = entry.progress, True
        sizes = (0, 0) if entry is None else entry.sizes
        for path, size in zip((self.rows, self.rejected), sizes, strict=True):
            file = path.open("ab", buffering=0)
            file.truncate(size)
            self._files.append(file)
        if entry is None:
            self._journal.truncate(0)
            try:
                self._append(header)
            except OSError:
                self.discard()
                raise

    def _latest(self, header: Mapping[str, object]) -> _Entry | None:
        """The last line of the journal whose rows are there, if what was given is the same.

        After a power cut the files may be shorter than the journal says.
        """
        self._journal.seek(0)
        lines = [_unsealed(line) for line in self._journal]
        then = lines[0] if lines else None
        if then is None:
            return None
        self._compare(then, json.loads(json.dumps(header)))
        there = [path.stat().st_size if path.exists() else 0 for path in (self.rows, self.rejected)]
        for line in reversed(lines[1:]):
            with suppress(ValidationError):
                entry = _Entry.model_validate(line)
                if all(size <= found for size, found in zip(entry.sizes, there, strict=True)):
                    return entry
        return None

    def _compare(self, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        for name in {**then, **now}:
            if then.get(name) != now.get(name):
                raise OutputError(
                    f"{self._target}: cannot resume: {name} has changed since the run began: "
                    f"expected {json.dumps(then.get(name))}, received "
                    f"{json.dumps(now.get(name))}. Use the former value, or start again without "
                    "resuming",
                    option="resume",
                )

    def _append(self, entry: Mapping[str, object]) -> None:
        _write(self._journal, _sealed(entry))
        self._journal.flush()
        os.fsync(self._journal.fileno())


def _sealed(entry: Mapping[str, object]) -> bytes:
    """A line of the journal."""
    checksum = zlib.crc32(json.dumps(entry).encode())
    return json.dumps({"entry": entry, "crc32": checksum}).encode() + b"\n"


def _unsealed(line: bytes) -> dict[str, Any] | None:
    """What a line of the journal says; nothing if it is not as it was written."""
    try:
        found = json.loads(line)
        entry = found["entry"]
        whole = isinstance(entry, dict) and _sealed(entry) == line
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return entry if whole else None


def _write(file: BinaryIO, contents: bytes) -> None:
    """Writes all of it or nothing: a file without a buffer may take a part only."""
    before = os.fstat(file.fileno()).st_size
    left = memoryview(contents)
    try:
        while left:
            left = left[file.write(left) :]
    except OSError:
        # What is left of a full disk's last row would be taken for a row.
        with suppress(OSError):
            file.truncate(before)
        raise
