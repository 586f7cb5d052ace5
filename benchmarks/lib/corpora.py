"""The corpora that benchmarks read: located, split deterministically, cut and repeated.

A corpus is a folder with `train`, `test` and perhaps `valid`, or with `all`, as `.csv`, `.csv.gz`
or `.jsonl` with the columns text and label, or labels where a text has several.
"""

import csv
import gzip
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.lib.command import BenchmarkError
from gatewise.training.data.corpora import Corpora, split
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import read_rows
from gatewise.vocab.corpus.record_stream import open_records

NAMES = (
    *("trec6", "sst2", "clinc150", "snips", "sms_spam"),
    *("surnames", "thucnews", "langid", "imdb", "nsmc"),
)
"""The corpora of the accuracy tables, by the names of their folders."""

LARGE = ("nsmc",)
"""Corpora with many more texts than the others, left out unless they are named."""

VALIDATION_SHARE = 0.1
"""Share of each label's training rows that validate where a corpus has no validation rows."""

# nsmc is one file: which of its rows are train and test does not depend on the seed.
_WHOLE_SEED, _WHOLE_TRAIN, _WHOLE_TEST = 1, 150_000, 50_000
_BAD_EVERY = 997
_ENDINGS = (".csv", ".csv.gz", ".jsonl")


@dataclass(frozen=True)
class Rows:
    """Texts, and the labels of each: one, or in a multi-label corpus any number."""

    texts: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]

    def only(self, rows: Sequence[int]) -> "Rows":
        """Some of these rows."""
        return Rows(tuple(self.texts[i] for i in rows), tuple(self.labels[i] for i in rows))

    def sample(self, count: int | None) -> "Rows":
        """At most so many of these rows, the same ones at every call, in their order."""
        if count is None or count >= len(self.texts):
            return self
        drawn = np.random.default_rng(1).permutation(len(self.texts))[:count]
        return self.only(sorted(drawn.tolist()))

    def write(
        self, path: Path, column: str = "label", more: Mapping[str, Sequence[object]] | None = None
    ) -> Path:
        """Writes them as CSV; the column `labels` may hold several, with `|` between them.

        Args:
            path: The file.
            column: The column of the labels.
            more: Further columns, a value for each row.
        """
        more = more or {}
        with path.open("w", encoding="utf-8", newline="") as file:
            rows = zip(self.texts, map("|".join, self.labels), *more.values(), strict=True)
            csv.writer(file).writerows([("text", column, *more), *rows])
        return path


@dataclass(frozen=True)
class Split:
    """The rows to train on, to choose settings by, and to report on."""

    name: str
    train: Rows
    validation: Rows
    test: Rows

    @contextmanager
    def written(self) -> Iterator[Corpora]:
        """The rows as files, until the block ends."""
        with TemporaryDirectory() as scratch:
            parts = (("train", self.train), ("validation", self.validation), ("test", self.test))
            yield Corpora(*(rows.write(Path(scratch) / f"{name}.csv") for name, rows in parts))


@dataclass(frozen=True)
class Corpus:
    """A corpus as it is published; `validation` is None where it has no such rows."""

    name: str
    train: Rows
    validation: Rows | None
    test: Rows

    def split(self, seed: int) -> Split:
        """The split of a seed, which is the same for every seed if there are validation rows."""
        if self.validation is not None:
            return Split(self.name, self.train, self.validation, self.test)
        _, keys = np.unique(np.array(self.train.labels).ravel(), return_inverse=True)
        held_out = split(keys.astype(np.int32), VALIDATION_SHARE, seed)
        kept, validation = (np.flatnonzero(rows).tolist() for rows in (~held_out, held_out))
        return Split(self.name, self.train.only(kept), self.train.only(validation), self.test)


def find(folder: Path, *names: str) -> Path:
    """The first file of a corpus that is there, by its name without an ending.

    Raises:
        BenchmarkError: If none is.
    """
    files = [folder / f"{name}{ending}" for name in names for ending in _ENDINGS]
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        expected = " or ".join(file.name for file in files)
        raise BenchmarkError(f"{folder}: expected {expected}, found none")
    return found


def read(folder: Path) -> Corpus:
    """Reads all rows of a corpus.

    Raises:
        BenchmarkError: If a file is missing.
        GatewiseError: If a row cannot be used.
    """
    with suppress(BenchmarkError):
        rows = _rows(find(folder, "all"))
        order = np.random.default_rng(_WHOLE_SEED).permutation(len(rows.texts)).tolist()
        train, test = order[:_WHOLE_TRAIN], order[_WHOLE_TRAIN : _WHOLE_TRAIN + _WHOLE_TEST]
        return Corpus(folder.name, rows.only(train), None, rows.only(test))
    validation = None
    with suppress(BenchmarkError):
        validation = _rows(find(folder, "valid"))
    train, test = _rows(find(folder, "train")), _rows(find(folder, "test"))
    return Corpus(folder.name, train, validation, test)


def test_texts(folder: Path, limit: int) -> list[str]:
    """The first test texts of a corpus."""
    rows = read_rows(find(folder, "test"), bad_rows=StopAtBadRows())
    return [row.text for row in islice(rows, limit)]


def cells(path: Path) -> Iterator[list[str]]:
    """The rows of a CSV file, plain or in gzip, the header first."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.reader(file)


def cut(source: Path, target: Path, rows: int | None, *, start: int = 0, bad: bool = False) -> Path:
    """Writes some rows of a CSV file as `.csv.gz`.

    With `bad`, one row in a thousand loses its text, and another one has a cell too many.
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


def repeat(sources: Sequence[Path], folder: Path, rows: int) -> int:
    """Fills a folder with links to files, in turn, until it has so many rows; counts the rows."""
    counts = [sum(1 for _ in open_records(source)) for source in sources]
    if not sum(counts):
        raise BenchmarkError(f"{sources[0]}: expected rows, found none")
    folder.mkdir()
    total = 0
    for number, (source, count) in enumerate(cycle(zip(sources, counts, strict=True))):
        target = folder / f"{number:05d}{''.join(source.suffixes)}"
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)
        total += count
        if total >= rows:
            break
    return total


def _rows(path: Path) -> Rows:
    rows = list(read_rows(path, bad_rows=StopAtBadRows()))
    return Rows(tuple(row.text for row in rows), tuple(row.labels for row in rows))
