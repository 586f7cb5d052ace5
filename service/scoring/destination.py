"""Where an output goes: into a file, an object of a store, or to standard output.

Owns where it grows until it is whole, and the last step, in which rejected rows and rows are put
under their names, each at once. Knows nothing of what rows hold, nor of how they came about.
"""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
from gatewise.service.scoring.journaled_output import JournaledOutput
from gatewise.service.scoring.parquet_output import Assembler
from gatewise.service.scoring.row_format import RowFormat
from gatewise.service.scoring.stdout_output import StdoutOutput
from gatewise.vocab.atomic_files import (
    atomic_write,
    check_file_target,
    fsync_path,
    translate_write_errors,
)
from gatewise.vocab.corpus import object_stores
from gatewise.vocab.corpus.bad_row_policy import check_replaceable
from gatewise.vocab.corpus.data_files import DataFile, Format
from gatewise.vocab.corpus.uris import is_uri, plain
from gatewise.vocab.errors import CorpusError, OutputError

_STANDARD_OUTPUT = "standard output"


@dataclass(frozen=True, slots=True)
class Destination:
    """The files of an output.

    Attributes:
        file: The rows; its name says how they are written down.
        rejects: The rows that could not be scored, in JSON Lines; None for nowhere.
        piped: Whether rows go to standard output instead.
    """

    file: DataFile
    rejects: Path | None = None
    piped: bool = False

    @classmethod
    def named(
        cls, path: str | os.PathLike[str], rejects: str | os.PathLike[str] | None = None
    ) -> "Destination":
        """Looks at where an output is to go, so that what cannot be is told before the work.

        Args:
            path: A path, or the URI of an object.
            rejects: A path.

        Raises:
            OutputError: The suffix is unknown, there is no such folder, or something is in the
                way that is no plain file, or that is no earlier rejects file.
        """
        file, aside = _output_file(plain(path)), None if rejects is None else Path(rejects)
        local = [] if is_uri(file.name) else [file.path]
        check_targets(*local, aside)
        if not local:
            object_stores.exists(file.name)
        return cls(file, aside)

    @classmethod
    def standard_output(
        cls, form: str, rejects: str | os.PathLike[str] | None = None
    ) -> "Destination":
        """Rows go to standard output.

        Args:
            form: Their format, such as `csv` or `jsonl.gz`.
            rejects: A path.

        Raises:
            OutputError: There is no such format, or it cannot be piped.
        """
        file = _output_file(f"-.{form.removeprefix('.')}")
        if file.format is Format.PARQUET:
            raise OutputError(
                f"{_STANDARD_OUTPUT}: Parquet is written whole or not at all; name a file for it"
            )
        aside = None if rejects is None else Path(rejects)
        check_targets(aside)
        return cls(replace(file, name=_STANDARD_OUTPUT), aside, piped=True)

    @property
    def names(self) -> list[str]:
        """The names of the output, for `gatewise.service.scoring.overlap_check`."""
        return [] if self.piped else [self.file.name]

    def open(self, given: Mapping[str, object], *, resume: bool) -> JournaledOutput | StdoutOutput:
        """Begins the output, or goes on with it.

        Args:
            given: What decides its bytes; see `JournaledOutput.open`.
            resume: Whether to go on with what is there.

        Raises:
            OutputError: It cannot be written, or not be gone on with.
        """
        if self.piped:
            if resume:
                raise OutputError(
                    f"{_STANDARD_OUTPUT}: cannot resume a run that writes to it; write to a file",
                    option="out",
                )
            return StdoutOutput()
        return JournaledOutput.open(
            str(self.file), staging_of(self.file.name), given, resume=resume
        )

    def deliver(self, output: JournaledOutput | StdoutOutput, table: RowFormat) -> None:
        """Puts everything under its name; until then, whoever looks sees the former files.

        Raises:
            OutputError: It cannot be written.
        """
        if isinstance(output, JournaledOutput):
            output.check()
        self.deliver_rejects(output)
        if isinstance(output, StdoutOutput):
            output.flush()
            return
        with translate_write_errors(str(self.file)):
            whole = output.rows
            if table.format is Format.PARQUET:
                whole = output.beside("assembled")
                try:
                    _assemble(output.rows, whole, table.schema)
                except (pa.ArrowInvalid, OSError) as error:
                    if getattr(error, "errno", None) is not None:
                        raise
                    # It is Arrow that cannot read them, and no later run would do better.
                    output.kept = False
                    reason = " ".join(str(error).split()).rstrip(".")
                    raise OutputError(
                        f"{self.file}: what was written so far is damaged: {reason}. Begin anew"
                    ) from error
            if is_uri(self.file.name):
                object_stores.send(whole, self.file.name)
                return
            whole.replace(self.file.path)
        # The file itself is complete; not every file system lets a folder be synced.
        with suppress(OSError):
            fsync_path(self.file.path.parent)

    def deliver_rejects(self, output: JournaledOutput | StdoutOutput) -> None:
        """Puts the rejected rows under their name.

        Raises:
            OutputError: They cannot be written.
        """
        # If the folder was deleted, that is told, and not what comes of it.
        if self.rejects is not None and output.rejected.exists():
            deliver_rejects(self.rejects, output)


def deliver_rejects(path: Path, output: JournaledOutput | StdoutOutput) -> None:
    """Puts the rejected rows of an output under their name.

    Raises:
        OutputError: They cannot be written.
    """
    with translate_write_errors(path), atomic_write(path) as temporary:
        shutil.copyfile(output.rejected, temporary)


def staging_of(name: str) -> Path:
    """The folder in which an output grows.

    Beside a file, so that it can be renamed into place; for an object of a store among temporary
    files, under a name that the next run finds again.
    """
    if is_uri(name):
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir(), f"gatewise-{digest}.partial")
    return Path(name).with_name(f".{Path(name).name}.partial")


def check_targets(*targets: Path | None) -> None:
    """Checks that files can be written, the last of which is the rejects file; None is no file.

    Raises:
        OutputError: There is no such folder, it cannot be written, or something is in the way.
    """
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
        return DataFile.named(name)
    except CorpusError as error:
        raise OutputError(str(error)) from error


def _is_writable(folder: Path) -> bool:
    effective = os.access in os.supports_effective_ids
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=effective)


def _assemble(parts: Path, whole: Path, schema: pa.Schema) -> None:
    """Makes Parquet of its parts; if that fails, no half of it goes on filling the disk."""
    try:
        with Assembler(str(whole), schema) as assembler, pa.OSFile(str(parts)) as source:
            assembler.add(source)
        fsync_path(whole)
    except (OSError, pa.ArrowInvalid):
        whole.unlink(missing_ok=True)
        raise
