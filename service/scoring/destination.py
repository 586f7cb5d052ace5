"""The destination of an output: a file, an object of a store, or standard output.

It checks the target before the work, and moves the complete output to it at the end.
"""

import errno
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import pyarrow as pa

from gatewise.service.scoring.journaled_output import JournaledOutput, ScoringProgress
from gatewise.service.scoring.row_format import ParquetAssembler, RowFormat
from gatewise.vocab.atomic_files import (
    atomic_write,
    check_file_target,
    fsync_path,
    translate_write_errors,
)
from gatewise.vocab.corpus import object_stores
from gatewise.vocab.corpus.bad_row_policy import check_replaceable
from gatewise.vocab.corpus.data_files import OUTPUT_SUFFIXES, DataFile, Format
from gatewise.vocab.corpus.local_files import open_local
from gatewise.vocab.corpus.uris import is_uri, plain
from gatewise.vocab.errors import CorpusError, OutputError

_STANDARD_OUTPUT = "standard output"


class StdoutOutput:
    """Writes rows to standard output, and rejected rows to a temporary file."""

    def __init__(self) -> None:
        self.progress = ScoringProgress()
        self.resumable = False
        self._folder = tempfile.TemporaryDirectory(prefix="gatewise-")
        # Unbuffered, so that it can be read at any time.
        self._rejected = self.rejected.open("wb", buffering=0)

    def write(self, rows: bytes, rejected: bytes) -> None:
        """Writes rows and rejected rows."""
        self._rejected.write(rejected)
        sys.stdout.buffer.write(rows)

    def commit(self, progress: ScoringProgress) -> None:
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


@dataclass(frozen=True, slots=True)
class Destination:
    """The files of an output."""

    # The file of the rows; its suffix is the format.
    file: DataFile
    # The file of the rejected rows, in JSON Lines; None for no such file.
    rejects: Path | None = None
    is_stdout: bool = False  # whether the rows go to standard output

    @classmethod
    def named(
        cls, path: str | os.PathLike[str], rejects: str | os.PathLike[str] | None = None
    ) -> "Destination":
        """Checks a file as the destination, before any work is done.

        Raises:
            OutputError: The suffix is unknown, the folder does not exist, or the path is taken by
                something other than a plain file or an earlier rejects file.
        """
        file, rejects_path = _output_file(plain(path)), None if rejects is None else Path(rejects)
        local = [] if is_uri(file.name) else [file.path]
        check_targets(*local, rejects_path)
        if not local:
            object_stores.exists(file.name)
        return cls(file, rejects_path)

    @classmethod
    def standard_output(
        cls, suffix: str, rejects: str | os.PathLike[str] | None = None
    ) -> "Destination":
        """Standard output as the destination.

        Raises:
            OutputError: The format is unknown, or is Parquet.
        """
        file = _output_file(f"-.{suffix.removeprefix('.')}")
        if file.format is Format.PARQUET:
            raise OutputError(
                f"{_STANDARD_OUTPUT}: Parquet has its index at the end: write it to a file"
            )
        rejects_path = None if rejects is None else Path(rejects)
        check_targets(rejects_path)
        return cls(replace(file, name=_STANDARD_OUTPUT), rejects_path, is_stdout=True)

    @property
    def names(self) -> list[str]:
        """The names of the output, for `gatewise.service.scoring.overlap_check`."""
        return [] if self.is_stdout else [self.file.name]

    def open(
        self, conditions: Mapping[str, object], *, resume: bool
    ) -> JournaledOutput | StdoutOutput:
        """Starts the output, or resumes it."""
        if self.is_stdout:
            if resume:
                raise OutputError(
                    f"{_STANDARD_OUTPUT}: cannot resume a run that writes to it; write to a file",
                    option="out",
                )
            return StdoutOutput()
        return JournaledOutput.open(
            str(self.file), staging_folder(self.file.name), conditions, resume=resume
        )

    def deliver(self, output: JournaledOutput | StdoutOutput, row_format: RowFormat) -> None:
        """Moves the complete output to its target; until then, readers see the former files."""
        if isinstance(output, JournaledOutput):
            output.check()
        self.deliver_rejects(output)
        if isinstance(output, StdoutOutput):
            output.flush()
            return
        with translate_write_errors(str(self.file)):
            complete = output.rows
            if row_format.format is Format.PARQUET:
                complete = output.scratch_file("assembled")
                try:
                    _assemble(output.rows, complete, row_format.schema)
                except (pa.ArrowInvalid, OSError) as error:
                    if getattr(error, "errno", None) is not None:
                        raise
                    # Arrow cannot read the rows, so a later run could not either.
                    output.resumable = False
                    reason = " ".join(str(error).split()).rstrip(".")
                    raise OutputError(
                        f"{self.file}: the rows written so far are damaged: {reason}. Start again"
                    ) from error
            if is_uri(self.file.name):
                object_stores.send(complete, self.file.name)
                return
            complete.replace(self.file.path)
        # The file itself is complete; not every file system can sync a folder.
        with suppress(OSError):
            fsync_path(self.file.path.parent)

    def deliver_rejects(self, output: JournaledOutput | StdoutOutput) -> None:
        """Copies the rejected rows to their target."""
        # If the folder was deleted, `check` raises the error that says so.
        if self.rejects is not None and output.rejected.exists():
            deliver_rejects(self.rejects, output)


def deliver_rejects(path: Path, output: JournaledOutput | StdoutOutput) -> None:
    """Copies the rejected rows of an output to their target."""
    with translate_write_errors(path), atomic_write(path) as temporary:
        shutil.copyfile(output.rejected, temporary)


def staging_folder(name: str) -> Path:
    """The folder in which an output grows.

    It is next to a file, so that the output can be renamed; for an object of a store it is in the
    temporary folder, under a name that the next run finds again.
    """
    if is_uri(name):
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
        return Path(tempfile.gettempdir(), f"gatewise-{digest}.partial")
    return Path(name).with_name(f".{Path(name).name}.partial")


def check_targets(*targets: Path | None) -> None:
    """Checks that files can be written; the last one is the rejects file. None is skipped."""
    for target in targets:
        if target is None:
            continue
        with translate_write_errors(target):
            check_file_target(target)
            if not _is_writable(target.parent):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    if targets and targets[-1] is not None:
        check_replaceable(targets[-1])


def _output_file(name: str) -> DataFile:
    try:
        return DataFile.named(name, OUTPUT_SUFFIXES)
    except CorpusError as error:
        raise OutputError(str(error)) from error


def _is_writable(folder: Path) -> bool:
    effective = os.access in os.supports_effective_ids
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=effective)


def _assemble(parts: Path, target: Path, schema: pa.Schema) -> None:
    """Assembles Parquet from its parts; deletes the file if that fails."""
    try:
        with (
            open_local(target, "wb") as sink,
            ParquetAssembler(sink, schema) as assembler,
            open_local(parts) as source,
        ):
            assembler.add(source)
        fsync_path(target)
    except (OSError, pa.ArrowInvalid):
        target.unlink(missing_ok=True)
        raise
