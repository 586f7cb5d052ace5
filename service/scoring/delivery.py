"""Where an output goes once it is whole.

Owns the last step: rejected rows and rows are put under their names, each at once. Knows nothing
of what rows hold, and nothing of how they came about.
"""

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from service.scoring.parquet import Assembler
from service.scoring.staging import Staging
from service.scoring.table import Table
from vocab.bad_rows import check_replaceable
from vocab.errors import CorpusError
from vocab.files import DataFile, Format, writing, written_whole


@dataclass(frozen=True, slots=True)
class Destination:
    """The files of an output.

    Attributes:
        file: The rows; its name says how they are written down.
        rejects: The rows that could not be scored, in JSON Lines; None for nowhere.
    """

    file: DataFile
    rejects: Path | None = None

    @classmethod
    def named(
        cls, path: str | os.PathLike[str], rejects: str | os.PathLike[str] | None = None
    ) -> "Destination":
        """Looks at where an output is to go, so that what cannot be is told before the work.

        Raises:
            CorpusError: The suffix is unknown, there is no such folder, or something is in the
                way that is no plain file, or that is no earlier rejects file.
        """
        file, aside = DataFile.named(path), None if rejects is None else Path(rejects)
        for target in (file.path, *([] if aside is None else [aside])):
            if not target.parent.is_dir():
                raise CorpusError(
                    f"{target}: cannot be written: there is no folder {target.parent}"
                )
            if target.exists() and not target.is_file():
                # Renaming onto a device such as /dev/null would replace the device itself.
                raise CorpusError(f"{target}: cannot be written: it exists and is no plain file")
        if aside is not None:
            check_replaceable(aside)
        return cls(file, aside)

    @property
    def staging(self) -> Path:
        """The folder in which the output grows."""
        return staging_of(self.file.path)

    def deliver(self, staging: Staging, table: Table) -> None:
        """Puts everything under its name; until then, whoever looks sees the former files.

        Raises:
            CorpusError: It cannot be written.
        """
        self.deliver_rejects(staging)
        with writing(self.file.path):
            whole = staging.rows
            if table.format is Format.PARQUET:
                whole = staging.beside("assembled")
                with (
                    Assembler(str(whole), table.schema) as assembler,
                    pa.OSFile(str(staging.rows)) as parts,
                ):
                    assembler.add(parts)
                _sync(whole)
            whole.replace(self.file.path)
        # The file itself is complete; not every file system lets a folder be synced.
        with suppress(OSError):
            _sync(self.file.path.parent)

    def deliver_rejects(self, staging: Staging) -> None:
        """Puts the rejected rows under their name.

        Raises:
            CorpusError: They cannot be written.
        """
        if self.rejects is not None:
            with writing(self.rejects), written_whole(self.rejects) as temporary:
                shutil.copyfile(staging.rejected, temporary)


def staging_of(path: Path) -> Path:
    """The folder in which an output grows: beside it, so that it can be renamed into place."""
    return path.with_name(f".{path.name}.partial")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
