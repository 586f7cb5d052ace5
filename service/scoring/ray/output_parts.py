"""The output of a cluster: a folder of parts, each written atomically by any process.

Parts may be written in any order and more than once; their bytes depend on the input only.
"""

import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from gatewise.service.scoring.destination import check_targets, staging_folder
from gatewise.service.scoring.ray.input_splits import Split
from gatewise.service.scoring.row_format import ParquetAssembler, RowFormat
from gatewise.service.scoring.score_chunk import ScoredChunk
from gatewise.service.scoring.summary import RowCounts
from gatewise.vocab.atomic_files import atomic_write, replace_folder, translate_write_errors
from gatewise.vocab.corpus.data_files import COMPRESSIONS, OUTPUT_SUFFIXES, DataFile, Format
from gatewise.vocab.corpus.local_files import open_local
from gatewise.vocab.corpus.uris import is_uri, redact
from gatewise.vocab.errors import CorpusError, OutputError

_PART = re.compile(r"part-\d{5,}(\.[a-z]+){1,2}")
_COUNTS = re.compile(r"(\d{5,})-(\d{5,})\.json")


@dataclass(frozen=True, slots=True)
class PartitionedOutput:
    """A folder of parts as the destination of an output."""

    folder: Path
    part: DataFile
    rejects: Path | None = None

    @classmethod
    def named(
        cls, folder: str | os.PathLike[str], suffix: str, rejects: Path | None = None
    ) -> "PartitionedOutput":
        """Checks a folder as the destination, before any work is done.

        Raises:
            OutputError: The suffix is unknown, the parent folder is missing, or the path is taken
                by something other than an earlier output.
        """
        if (name := os.fspath(folder)) == "-" or is_uri(name):
            raise OutputError(
                f"{redact(name)}: cannot be written: expected a folder on a file system that every "
                "node of the cluster sees"
            )
        folder = Path(folder)
        try:
            part = DataFile.named(f"part.{suffix.lower()}", OUTPUT_SUFFIXES)
        except CorpusError:
            known = ", ".join(each.removeprefix(".") for each in OUTPUT_SUFFIXES)
            raise OutputError(
                f"unknown format {suffix!r}: expected one of {known}; text formats also followed "
                f"by {' or '.join(COMPRESSIONS)}"
            ) from None
        if not folder.resolve().parent.is_dir():
            raise OutputError(f"{folder}: cannot be written: there is no folder {folder.parent}")
        _check_earlier(folder)
        check_targets(rejects)
        return cls(folder, part, rejects)

    @property
    def suffix(self) -> str:
        """The suffix of a part, with its dot."""
        return self.part.path.name.removeprefix("part")

    @property
    def names(self) -> list[str]:
        """The names of the output, for `gatewise.service.scoring.overlap_check`."""
        return [str(self.folder), str(self.folder / f"part-00000{self.suffix}")]

    @property
    def staging(self) -> Path:
        """The folder in which the output grows."""
        return staging_folder(str(self.folder)).resolve()


@dataclass(frozen=True, slots=True)
class OutputParts:
    """The parts of an output that is being written; see `OutputParts.begin`.

    A part is its rows, its rejected rows, and last, its counts, which say that it is complete.
    """

    path: Path  # the folder of the parts, which every node sees under this name
    suffix: str  # how the name of a part ends
    token: str  # what the file `token` in that folder holds, for a node to recognize the folder by

    @classmethod
    def begin(cls, output: PartitionedOutput, *, keep: bool) -> "OutputParts":
        """Makes the folder."""
        parts = cls(output.staging / "parts", output.suffix, secrets.token_hex())
        with translate_write_errors(output.folder):
            if parts.path.exists() and not keep:
                shutil.rmtree(parts.path)
            parts.path.mkdir(exist_ok=True)
            for left_by_a_killed_worker in parts.path.glob(".*.partial"):
                left_by_a_killed_worker.unlink()
            (parts.path / "token").write_text(parts.token)
        return parts

    def check_visible(self) -> None:
        """Checks that this node sees the folder."""
        try:
            found = (self.path / "token").read_text()
        except OSError:
            found = ""
        if found != self.token:
            raise OutputError(
                f"{self.path.parent.parent}: this node does not see the folder of the output: "
                "expected one on a file system that all nodes share"
            )

    def complete(self) -> dict[Split, RowCounts]:
        """The parts that are complete, with the counts of their rows."""
        found = {}
        for path in self.path.iterdir():
            if (name := _COUNTS.fullmatch(path.name)) is not None:
                split = Split(int(name[1]), int(name[2]))
                # A run that was killed at its very end had moved some parts away.
                if self._file(split, self.suffix).exists():
                    found[split] = RowCounts(**json.loads(path.read_bytes()))
        return found

    def write(
        self, split: Split, row_format: RowFormat, results: Iterable[ScoredChunk]
    ) -> RowCounts:
        """Writes a part."""
        counts = RowCounts()
        rows = self._file(split, self.suffix)
        with (
            translate_write_errors(rows),
            atomic_write(rows) as temporary,
            atomic_write(self._file(split, ".rejected")) as rejected,
            _open_part(temporary, row_format) as add,
            rejected.open("wb") as lines,
        ):
            for chunk in results:
                add(chunk.contents)
                lines.write(chunk.rejected)
                counts = counts.plus(chunk)
        with translate_write_errors(rows), atomic_write(self._file(split, ".json")) as temporary:
            temporary.write_text(json.dumps(asdict(counts)))
        return counts

    def rejected(self, split: Split) -> bytes:
        """The rejected rows of a part, in JSON Lines."""
        return self._file(split, ".rejected").read_bytes()

    def deliver(self, folder: Path, complete: Mapping[Split, RowCounts]) -> None:
        """Turns the parts into a folder that appears at once, in place of an earlier output.

        A part without rows is left out, unless there is no other.
        """
        new, old = self.path.with_name("new"), self.path.with_name("old")
        with translate_write_errors(folder):
            for left_by_an_earlier_run in (new, old):
                shutil.rmtree(left_by_an_earlier_run, ignore_errors=True)
            new.mkdir()
            splits = sorted(complete)
            scored = [split for split in splits if complete[split].scored]
            for number, split in enumerate(scored or splits[:1]):
                path = self._file(split, self.suffix)
                path.replace(new / f"part-{number:05}{self.suffix}")
            _check_earlier(folder)
            replace_folder(folder, new, old)

    def _file(self, split: Split, suffix: str) -> Path:
        return self.path / f"{split}{suffix}"


@contextmanager
def _open_part(path: Path, row_format: RowFormat) -> Iterator[Callable[[bytes], object]]:
    """Opens the file of a part; yields a function that appends what `RowFormat.encode` returns."""
    if row_format.format is Format.PARQUET:
        with open_local(path, "wb") as sink, ParquetAssembler(sink, row_format.schema) as assembler:
            yield lambda contents: assembler.add(pa.BufferReader(contents))
    else:
        with path.open("wb") as file:
            file.write(row_format.header())
            yield file.write


def _check_earlier(folder: Path) -> None:
    """Refuses to replace anything but an earlier output."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"{folder}: cannot be written: expected a folder, but it is a file")
    for path in folder.iterdir():
        if not _PART.fullmatch(path.name):
            raise OutputError(
                f"{folder}: the folder holds {path.name}, which is no part of a scored input, so "
                "it is not replaced: name another folder"
            )
