"""The corpora that scoring is measured on: found, cut, spoilt here and there, and repeated.

Knows sets as folders of CSV files with a column `text`; nothing of what is done with them.
"""

import csv
import gzip
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from gatewise.vocab.corpus.record_stream import open_records
from gatewise.vocab.errors import GatewiseError

_NAMES = ("all", "test", "train")
_SUFFIXES = (".csv.gz", ".csv")
_BAD_EVERY = 997


@dataclass(frozen=True)
class Repeated:
    """A folder that holds some files again and again.

    Attributes:
        folder: The folder.
        rows: Rows of all its files.
    """

    folder: Path
    rows: int


def corpus_of(folder: Path, *names: str) -> Path:
    """The file of a set that is scored: all rows if it is not split, else the test rows.

    Args:
        folder: The set.
        names: What the file may be called, the best name first.

    Raises:
        GatewiseError: If there is none.
    """
    for name in names or _NAMES:
        for suffix in _SUFFIXES:
            if (path := folder / f"{name}{suffix}").is_file():
                return path
    raise GatewiseError(f"expected {folder}/{(names or _NAMES)[0]}.csv.gz, and there is no such")


def cells(path: Path) -> Iterator[list[str]]:
    """The rows of a CSV file, plain or in gzip, the header first."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.reader(file)


def cut(source: Path, target: Path, rows: int | None, *, start: int = 0, bad: bool = False) -> Path:
    """Writes some rows of a file as a `.csv.gz`.

    Args:
        source: CSV, plain or in gzip.
        target: What to write.
        rows: Most rows; None for all.
        start: Rows before the first one.
        bad: Whether one row in a thousand loses its text, and another one has a cell too many.
    """
    # Weakly compressed: it is read again far more often than it is written.
    with gzip.open(target, "wt", compresslevel=1, encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        found = cells(source)
        writer.writerow(header := next(found))
        text = header.index("text")
        kept = islice(found, start, None if rows is None else start + rows)
        for number, row in enumerate(kept, start=1):
            if bad and number % _BAD_EVERY == 0:
                row[text] = ""
            elif bad and number % _BAD_EVERY == 1:
                row.append("one too many")
            writer.writerow(row)
    return target


def repeated(sources: Sequence[Path], folder: Path, rows: int) -> Repeated:
    """A folder with files so often that it has at least so many rows.

    Hard links take no room; where there can be none, files are copied.

    Args:
        sources: The files, which are taken in turn.
        folder: Made if it is not there.
        rows: The fewest rows.

    Raises:
        GatewiseError: If there are none.
    """
    each = [sum(1 for _ in open_records(source)) for source in sources]
    if not sum(each):
        raise GatewiseError(f"{sources[0]}: expected rows, and there are none")
    folder.mkdir(exist_ok=True)
    there = 0
    for number, (source, more) in enumerate(cycle(zip(sources, each, strict=True))):
        target = folder / f"{number:05d}{''.join(source.suffixes)}"
        with suppress(OSError):
            os.link(source, target)
        if not target.exists():
            shutil.copyfile(source, target)
        if (there := there + more) >= rows:
            break
    return Repeated(folder, there)
