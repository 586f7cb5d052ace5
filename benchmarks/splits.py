"""The sets that classifiers are compared on, and how each is split: the same for all of them.

A set's own validation rows are used where it has them; elsewhere a tenth of each label's training
rows is set aside, by the seed. Knows nothing of the classifiers.
"""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from gatewise.training.data.corpora import Corpora, split
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import read_rows
from gatewise.vocab.errors import CorpusError

SHARE = 0.1
"""Share of each label's training rows set aside where a set has no validation rows."""

SETS = (
    "trec6",
    "sst2",
    "clinc150",
    "snips",
    "sms_spam",
    "surnames",
    "thucnews",
    "langid",
    "imdb",
    "nsmc",
)
"""The sets, by the names of their folders; in the order of the table."""

LARGE = ("nsmc",)
"""Sets with many more texts than the others, left out unless they are named."""

# nsmc is one file: which of its rows are train and test is fixed, whatever the seed.
_NSMC_ROWS = (150_000, 50_000)
_NSMC_SEED = 1


@dataclass(frozen=True)
class Part:
    """Some rows of a set.

    Attributes:
        texts: Their texts.
        labels: Their labels, one for each text.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...]

    def only(self, rows: Sequence[int]) -> "Part":
        """Some of these rows."""
        return Part(tuple(self.texts[i] for i in rows), tuple(self.labels[i] for i in rows))


@dataclass(frozen=True)
class Split:
    """What a classifier is given: rows to learn from, to choose by, and to be tested on.

    Attributes:
        name: The set's name.
        train: To learn from.
        validation: To choose settings by, and when to stop.
        test: To report on; nothing is chosen by them.
    """

    name: str
    train: Part
    validation: Part
    test: Part


@dataclass(frozen=True)
class Set:
    """A set as it is published.

    Attributes:
        name: Its name.
        train: Rows to learn from; validation rows are of these unless there are others.
        validation: Its own validation rows, if it has any.
        test: Its test rows.
    """

    name: str
    train: Part
    validation: Part | None
    test: Part

    def split(self, seed: int) -> Split:
        """The split of a seed, which is the same for every seed if there are validation rows."""
        if self.validation is not None:
            return Split(self.name, self.train, self.validation, self.test)
        _, keys = np.unique(np.array(self.train.labels), return_inverse=True)
        aside = split(keys.astype(np.int32), SHARE, seed)
        kept, chosen = (np.flatnonzero(rows).tolist() for rows in (~aside, aside))
        return Split(self.name, self.train.only(kept), self.train.only(chosen), self.test)


def read(folder: Path) -> Set:
    """Reads a set from its folder: `train`, `test` and perhaps `valid`, or `all`.

    Raises:
        GatewiseError: If a file cannot be read, or is missing.
    """
    if whole := _file(folder, "all"):
        rows = _part(whole)
        order = np.random.default_rng(_NSMC_SEED).permutation(len(rows.texts)).tolist()
        train, test = _NSMC_ROWS
        return Set(
            folder.name, rows.only(order[:train]), None, rows.only(order[train : train + test])
        )
    validation = _file(folder, "valid")
    return Set(
        folder.name,
        _part(_required(folder, "train")),
        _part(validation) if validation else None,
        _part(_required(folder, "test")),
    )


@contextmanager
def written(split: Split) -> Iterator[Corpora]:
    """The parts of a split as files, for as long as they are used."""
    with TemporaryDirectory() as scratch:
        train, validation, test = (
            _write(Path(scratch) / f"{name}.csv", getattr(split, name))
            for name in ("train", "validation", "test")
        )
        yield Corpora(train, validation, test)


def _write(path: Path, part: Part) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows(zip(part.texts, part.labels, strict=True))
    return path


def _file(folder: Path, name: str) -> Path | None:
    files = (folder / f"{name}{ending}" for ending in (".csv", ".csv.gz"))
    return next((file for file in files if file.is_file()), None)


def _required(folder: Path, name: str) -> Path:
    if file := _file(folder, name):
        return file
    raise CorpusError(f"{folder}: expected {name}.csv or {name}.csv.gz, found neither")


def _part(path: Path) -> Part:
    rows = list(read_rows(path, bad_rows=StopAtBadRows()))
    return Part(tuple(row.text for row in rows), tuple(row.label for row in rows))
