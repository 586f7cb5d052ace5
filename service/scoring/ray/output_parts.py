"""A scored input in parts: a folder of files that follow one another, and how it comes about.

Owns the files of a part while others are not there yet, and how they become a folder that appears
at once. Each process that can see the folder may write parts, in any order and more than once: a
part is there whole or not at all, and has the same bytes whoever writes it. Knows nothing of who
does, nor of what rows hold.
"""

import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
from gatewise.service.scoring.destination import staging_of
from gatewise.service.scoring.parquet_output import Assembler
from gatewise.service.scoring.ray.input_splits import Place
from gatewise.service.scoring.row_format import RowFormat
from gatewise.service.scoring.score_chunk import ScoredChunk
from gatewise.service.scoring.summary import RowCounts
from gatewise.vocab.corpus.bad_row_policy import check_replaceable
from gatewise.vocab.corpus.data_files import (
    COMPRESSIONS,
    SUFFIXES,
    DataFile,
    Format,
    check_place,
    writing,
    written_whole,
)
from gatewise.vocab.corpus.uris import is_uri, redact
from gatewise.vocab.errors import CorpusError

_PART = re.compile(r"part-\d{5,}(\.[a-z]+){1,2}")
_RECORD = re.compile(r"(\d{5,})-(\d{5,})\.json")


@dataclass(frozen=True, slots=True)
class PartitionedOutput:
    """A folder of parts that is to be written.

    Attributes:
        folder: The folder.
        part: What a part is called, without its number; its suffixes say how rows are written.
        rejects: The rows that could not be scored, in JSON Lines; None for nowhere.
    """

    folder: Path
    part: DataFile
    rejects: Path | None = None

    @classmethod
    def named(
        cls, folder: str | os.PathLike[str], suffix: str, rejects: Path | None = None
    ) -> "PartitionedOutput":
        """Looks at where an output is to go, so that what cannot be is told before the work.

        Args:
            folder: The folder.
            suffix: How its files end, without the first dot, such as `parquet` or `csv.gz`.
            rejects: A file for the rows that cannot be scored.

        Raises:
            CorpusError: The suffix is unknown, there is no such place, or something is in the way
                that is no earlier output.
        """
        if (name := os.fspath(folder)) == "-" or is_uri(name):
            raise CorpusError(
                f"{redact(name)}: cannot be written: expected a folder on a file system that every "
                "node of the cluster sees"
            )
        folder = Path(folder)
        try:
            part = DataFile.named(f"part.{suffix.lower()}")
        except CorpusError:
            known = ", ".join(one.removeprefix(".") for one in SUFFIXES)
            raise CorpusError(
                f"unknown format {suffix!r}: expected one of {known}; text formats also followed "
                f"by {' or '.join(COMPRESSIONS)}"
            ) from None
        if not folder.resolve().parent.is_dir():
            raise CorpusError(f"{folder}: cannot be written: there is no folder {folder.parent}")
        if folder.exists():
            _check_earlier(folder)
        if rejects is not None:
            check_place(rejects)
            check_replaceable(rejects)
        return cls(folder, part, rejects)

    @property
    def names(self) -> list[str]:
        """The names of the output, for `gatewise.service.scoring.overlap_check`."""
        return [str(self.folder), str(self.folder / f"part-00000{_suffix(self.part)}")]

    @property
    def staging(self) -> Path:
        """The folder in which the output grows."""
        return staging_of(str(self.folder))


@dataclass(frozen=True, slots=True)
class OutputParts:
    """The parts of an output on their way.

    Attributes:
        path: The folder that holds them, which each node sees under this name.
        suffix: How the name of a part ends.
    """

    path: Path
    suffix: str

    @classmethod
    def of(cls, output: PartitionedOutput) -> "OutputParts":
        """The parts of an output, in its staging folder."""
        return cls(output.staging.resolve() / "parts", _suffix(output.part))

    def begin(self) -> None:
        """Makes room: the folder is there, and empty but for parts that are whole."""
        self.path.mkdir(exist_ok=True)
        whole = {
            path.name for place in self.whole() for path in (*self._files(place), self._file(place))
        }
        for path in self.path.iterdir():
            if path.name not in whole:
                path.unlink()

    def clear(self) -> None:
        """Takes away what an earlier run has left."""
        if self.path.exists():
            shutil.rmtree(self.path)

    def whole(self) -> dict[Place, RowCounts]:
        """The parts that are there, with what became of their rows."""
        found = {}
        for path in self.path.iterdir():
            if (name := _RECORD.fullmatch(path.name)) is None:
                continue
            place = Place(int(name[1]), int(name[2]))
            with suppress(OSError, ValueError, KeyError, TypeError):
                record = json.loads(path.read_bytes())
                if [file.stat().st_size for file in self._files(place)] == record["bytes"]:
                    found[place] = RowCounts(**record["counts"])
        return found

    def write(self, place: Place, table: RowFormat, done: Iterable[ScoredChunk]) -> RowCounts:
        """Writes a part: its rows, its rejected rows, and last a record that says that it is whole.

        Args:
            place: Where it stands among the parts.
            table: How rows are written.
            done: The rows.

        Raises:
            CorpusError: It cannot be written.
        """
        counts = RowCounts()
        rows, rejected = self._files(place)
        with (
            writing(rows),
            written_whole(rows) as temporary,
            written_whole(rejected) as aside,
            _Rows(temporary, table) as file,
            aside.open("wb") as lines,
        ):
            for one in done:
                file.add(one.contents)
                lines.write(one.rejected)
                counts = counts.plus(one)
        record = {
            "counts": asdict(counts),
            "bytes": [path.stat().st_size for path in (rows, rejected)],
        }
        with writing(rows), written_whole(self._file(place)) as temporary:
            temporary.write_text(json.dumps(record))
        return counts

    def count_try(self, place: Place) -> int:
        """Notes that a part is begun.

        Returns:
            How often it was, in this run.

        Raises:
            CorpusError: It cannot be written.
        """
        path = self.path / f"{place}.tries"
        with writing(path), path.open("ab") as file:
            file.write(b".")
            return file.tell()

    def rejected(self, place: Place) -> bytes:
        """The rejected rows of a part, in JSON Lines."""
        return self._files(place)[1].read_bytes()

    def deliver(self, folder: Path, whole: Mapping[Place, RowCounts]) -> None:
        """Makes of the parts a folder that appears at once, in the place of an earlier one.

        A part of which every row was rejected is left out.

        Args:
            folder: The folder.
            whole: All parts.

        Raises:
            CorpusError: It cannot be written.
        """
        new, old = self.path.with_name("new"), self.path.with_name("old")
        with writing(folder):
            for left in (new, old):
                shutil.rmtree(left, ignore_errors=True)
            new.mkdir()
            places = [place for place in sorted(whole) if whole[place].scored]
            for number, place in enumerate(places):
                self._files(place)[0].replace(new / f"part-{number:05}{self.suffix}")
            if not folder.exists():
                new.rename(folder)
                return
            _check_earlier(folder)
            folder.rename(old)
            try:
                new.rename(folder)
            except BaseException:
                old.rename(folder)
                raise

    def _files(self, place: Place) -> tuple[Path, Path]:
        return self.path / f"{place}{self.suffix}", self.path / f"{place}.rejected"

    def _file(self, place: Place) -> Path:
        return self.path / f"{place}.json"


class _Rows:
    """The rows of a part as they are written; a context manager."""

    def __init__(self, path: Path, table: RowFormat) -> None:
        self._parquet = table.format is Format.PARQUET
        if self._parquet:
            self._assembler = Assembler(str(path), table.schema)
            return
        self._file = path.open("wb")
        self._file.write(table.head())

    def __enter__(self) -> "_Rows":
        if self._parquet:
            self._assembler.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self._parquet:
            self._assembler.__exit__(*error)  # type: ignore[arg-type]
        else:
            self._file.close()

    def add(self, contents: bytes) -> None:
        """Appends rows as `Table.part` gives them."""
        if self._parquet:
            self._assembler.add(pa.BufferReader(contents))
        else:
            self._file.write(contents)


def _suffix(part: DataFile) -> str:
    return part.path.name.removeprefix("part")


def _check_earlier(folder: Path) -> None:
    """Refuses to put parts in the place of what is something else.

    Raises:
        CorpusError: It is.
    """
    if not folder.is_dir():
        raise CorpusError(f"{folder}: cannot be written: expected a folder, but it is a file")
    for path in folder.iterdir():
        if not _PART.fullmatch(path.name):
            raise CorpusError(
                f"{folder}: the folder holds {path.name}, which is no part of a scored input, so "
                "it is not replaced: name another folder"
            )
