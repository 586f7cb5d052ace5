"""An output with a journal, from which an interrupted run can resume.

The output grows in a folder `.NAME.partial` next to its target: the rows, the rejected rows, and
the journal. A run resumes at the last entry of the journal; what was written after it is truncated.

The journal is JSON Lines: first the conditions of the run, then an entry for each commit, each with
a checksum. The data is on disk before its entry is written. An incomplete or damaged entry is
ignored.
"""

import json
import os
import shutil
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

from filelock import lock_descriptor
from pydantic import BaseModel, ConfigDict, ValidationError

from gatewise.service.scoring.chunks import Position
from gatewise.service.scoring.summary import RowCounts
from gatewise.vocab.atomic_files import translate_write_errors
from gatewise.vocab.errors import OutputError

_FORMAT = 2
_REMOVALS, _BETWEEN_REMOVALS_SECONDS = 20, 0.1


@dataclass(frozen=True, slots=True)
class ScoringProgress:
    """The progress of a run."""

    position: Position = field(default_factory=Position)  # where the next chunk begins in the input
    counts: RowCounts = field(default_factory=RowCounts)  # the counts of the rows before it


class _Entry(BaseModel):
    """An entry of the journal: the progress, and the size of each file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    progress: ScoringProgress
    sizes: tuple[int, int]


class JournaledOutput:
    """An output that is being written; see `JournaledOutput.open`."""

    def __init__(self, target: str, folder: Path, journal: BinaryIO) -> None:
        # The progress of the earlier run, when the output was opened.
        self.progress = ScoringProgress()
        self.resumable = False  # whether the journal has an entry from which a later run can resume
        self._target = target
        self._folder = folder
        self._journal = journal
        self._files: list[BinaryIO] = []

    @classmethod
    def open(
        cls, target: str, folder: Path, conditions: Mapping[str, object], *, resume: bool
    ) -> "JournaledOutput":
        """Starts an output in a folder, or resumes one if there is any.

        The conditions determine the bytes of the output; they are JSON values by names for errors.

        Raises:
            OutputError: Another run is writing it, the earlier run had other conditions, or the
                folder cannot be written.
        """
        with translate_write_errors(target):
            folder.mkdir(mode=0o700, exist_ok=True)
            # In the temporary folder another user may have made a link to a folder of this user.
            if folder.is_symlink():
                raise OutputError(f"{target}: {folder} is a link: remove it")
            if hasattr(os, "geteuid") and folder.stat().st_uid != os.geteuid():
                raise OutputError(f"{target}: {folder} belongs to another user: remove it")
            journal = (folder / "journal").open("a+b")
            output = cls(target, folder, journal)
            try:
                output._lock()
                output._start(conditions, resume=resume)
            except BaseException:
                output.close()
                raise
        return output

    def write(self, rows: bytes, rejected: bytes) -> None:
        """Appends rows and rejected rows."""
        self.check()
        with translate_write_errors(self._target):
            for file, contents in zip(self._files, (rows, rejected), strict=True):
                _write(file, contents)

    def commit(self, progress: ScoringProgress) -> None:
        """Makes what was written so far durable, and records the progress."""
        before = self.resumable
        # Set first, because a signal may interrupt right after the entry is written.
        self.resumable = True
        try:
            self._commit(progress)
        except OutputError:
            self.resumable = before
            raise

    def _commit(self, progress: ScoringProgress) -> None:
        with translate_write_errors(self._target):
            for file in self._files:
                os.fsync(file.fileno())
            rows, rejected = (file.tell() for file in self._files)
            self._append(_Entry(progress=progress, sizes=(rows, rejected)).model_dump())

    def check(self) -> None:
        """Checks that the folder still exists; writing to a deleted file does not fail."""
        with translate_write_errors(self._target):
            links = os.fstat(self._journal.fileno()).st_nlink
        if not links:
            self.resumable = False
            raise OutputError(f"{self._target}: cannot be written: {self._folder} was deleted")

    @property
    def rows(self) -> Path:
        """The file of the rows."""
        return self._folder / "rows"

    @property
    def rejected(self) -> Path:
        """The file of the rejected rows, in JSON Lines."""
        return self._folder / "rejected"

    def scratch_file(self, name: str) -> Path:
        """The path of a further file in the folder, to be renamed to its target."""
        return self._folder / name

    def close(self) -> None:
        """Closes the files and keeps them for a later run."""
        for file in (*self._files, self._journal):
            with suppress(OSError):
                file.close()

    def discard(self) -> None:
        """Deletes the folder: the output is complete, or cannot be resumed."""
        # The journal first: without it the other files are ignored.
        with suppress(OSError):
            (self._folder / "journal").unlink()
        self.close()
        for _ in range(_REMOVALS):
            shutil.rmtree(self._folder, ignore_errors=True)
            if not self._folder.exists():
                break
            # A worker of a cluster that is being stopped may still write for a moment.
            time.sleep(_BETWEEN_REMOVALS_SECONDS)
            if (self._folder / "journal").exists():
                break  # that of another run, which has begun meanwhile

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.resumable and error[0] is not None:
            self.close()
        else:
            self.discard()

    def _lock(self) -> None:
        # The lock is on the journal itself and ends with the process.
        if not lock_descriptor(self._journal.fileno(), blocking=False):
            raise OutputError(
                f"{self._target}: another run is writing it: wait for it, or name another file"
            )

    def _start(self, conditions: Mapping[str, object], *, resume: bool) -> None:
        header = {"format": _FORMAT, **conditions}
        entry = self._latest(header) if resume else None
        if entry is not None:
            self.progress, self.resumable = entry.progress, True
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
        """The last entry of the journal whose data is there; None if there is none.

        After a power cut the files may be shorter than the journal says.
        """
        self._journal.seek(0)
        lines = [_decode(line) for line in self._journal]
        earlier = lines[0] if lines else None
        if earlier is None:
            return None
        self._compare(earlier, json.loads(json.dumps(header)))
        sizes = [path.stat().st_size if path.exists() else 0 for path in (self.rows, self.rejected)]
        for line in reversed(lines[1:]):
            with suppress(ValidationError):
                entry = _Entry.model_validate(line)
                if all(size <= found for size, found in zip(entry.sizes, sizes, strict=True)):
                    return entry
        return None

    def _compare(self, earlier: Mapping[str, Any], current: Mapping[str, Any]) -> None:
        for name in {**earlier, **current}:
            if earlier.get(name) != current.get(name):
                raise OutputError(
                    f"{self._target}: cannot resume: {name} has changed since the run began: "
                    f"expected {json.dumps(earlier.get(name))}, received "
                    f"{json.dumps(current.get(name))}. Use the former value, or start again "
                    "without resuming",
                    option="resume",
                )

    def _append(self, entry: Mapping[str, object]) -> None:
        _write(self._journal, _encode(entry))
        self._journal.flush()
        os.fsync(self._journal.fileno())


def _encode(entry: Mapping[str, object]) -> bytes:
    """A line of the journal, with its checksum."""
    checksum = zlib.crc32(json.dumps(entry).encode())
    return json.dumps({"entry": entry, "crc32": checksum}).encode() + b"\n"


def _decode(line: bytes) -> dict[str, Any] | None:
    """The content of a line of the journal; None if it is incomplete or damaged."""
    try:
        found = json.loads(line)
        entry = found["entry"]
        is_intact = isinstance(entry, dict) and _encode(entry) == line
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return entry if is_intact else None


def _write(file: BinaryIO, contents: bytes) -> None:
    """Writes everything or nothing; an unbuffered write may be partial."""
    before = os.fstat(file.fileno()).st_size
    remaining = memoryview(contents)
    try:
        while remaining:
            remaining = remaining[file.write(remaining) :]
    except OSError:
        # Half a row, written before the disk was full, would be taken for a row.
        with suppress(OSError):
            file.truncate(before)
        raise
