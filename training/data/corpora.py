"""The corpora of a run, read and split: rows to learn from, to choose by, and to report on.

Every corpus is parsed once, in a stream, and its good rows are put on disk; what grows with the
corpus in memory is a few bytes a row. Does not import TensorFlow, so that a corpus that cannot be
used is told of at once.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from gatewise.training.config.config import Config, ConfigError
from gatewise.training.data.duplicates import Duplicates, Finder, Part
from gatewise.training.data.stored_rows import StoredRows, store
from gatewise.vocab.corpus.bad_row_policy import BadRows
from gatewise.vocab.corpus.columns import FoundColumns
from gatewise.vocab.corpus.corpus_reader import Row, open_corpus
from gatewise.vocab.corpus.labels import Labels
from gatewise.vocab.errors import CorpusError
from numpy.typing import NDArray


@dataclass(frozen=True)
class Corpora:
    """The corpora of a run.

    Attributes:
        train: Rows to learn from.
        validation: Rows to choose by; if None, a share of the training rows is set aside.
        test: Rows that nothing is chosen by; if None, there is no test report.
    """

    train: Path
    validation: Path | None = None
    test: Path | None = None


@dataclass(frozen=True)
class Copy:
    """Two rows with the same text, or nearly the same.

    Attributes:
        kind: `exact`, `near`, or `conflict` for an exact copy with another label.
        similarity: How alike the texts are, as estimated.
        parts: The parts that the two rows are of.
        rows: The rows.
    """

    kind: str
    similarity: float
    parts: tuple[Part, Part]
    rows: tuple[Row, Row]


@dataclass(frozen=True)
class Rows:
    """The rows of a run.

    Attributes:
        train: To learn from.
        validation: To choose by.
        test: To report on; None if no test corpus was given.
        labels: The labels that can be learnt. With `reject.out_of_scope`, rows that have none of
            them stand among the others, in every part.
        multi_label: Whether a text may have several of them, or none.
        duplicates: The texts that occur more than once; None if they were not looked for.
        copies: A few of them.
    """

    train: StoredRows
    validation: StoredRows
    test: StoredRows | None
    labels: Labels
    multi_label: bool
    duplicates: Duplicates | None = None
    copies: tuple[Copy, ...] = ()

    def parts(self) -> dict[Part, StoredRows]:
        """The rows of each part that there is."""
        parts: dict[Part, StoredRows] = {"train": self.train, "validation": self.validation}
        return {**parts, "test": self.test} if self.test else parts


def read(corpora: Corpora, config: Config, bad_rows: BadRows, folder: Path) -> Rows:
    """Reads the corpora of a run, and sets validation rows aside if none are given.

    Args:
        corpora: Where the rows are.
        config: The run's settings.
        bad_rows: What happens to a row that cannot be used.
        folder: Folder in which the rows are kept for the run.

    Raises:
        ConfigError: If the settings make no sense with the rows.
        CorpusError: If a corpus cannot be read, or holds fewer than two labels to learn.
        BadRowsError: If a row is bad, such as one whose label training never saw, and the policy
            is to stop there.
    """
    columns = config.corpus.columns()
    learnt = open_corpus(corpora.train, columns)
    if columns.probability_prefix is not None:
        learnt.require_probabilities()
    multi_label = learnt.columns.task == "multi_label"
    if config.reject.is_wanted:
        _check_reject(config, learnt.columns)
    if multi_label and config.training.sampling == "balanced":
        raise ConfigError(
            "training.sampling=balanced: expected a task with one label a text, received one with "
            "several: set training.class_weights=balanced instead"
        )
    seen = _Seen()
    outside = config.reject.out_of_scope
    passing = seen.passing(learnt.rows(bad_rows, out_of_scope=outside))
    train = store(passing, folder / "train.arrow")
    try:
        labels = Labels.of(learnt.columns.labels or seen.counts)  # told at once, before the others
    except CorpusError as error:
        raise CorpusError(f"{corpora.train}: {error}") from None
    if config.reject.is_wanted and config.reject.label in labels.ids:
        raise ConfigError(
            f"reject.label={config.reject.label}: expected a name that no label has, but it is a "
            f"label of {corpora.train}: set reject.label to another"
        )
    columns = replace(columns, task=learnt.columns.task)

    def others(path: Path, name: str) -> StoredRows:
        return store(
            open_corpus(path, columns).rows(bad_rows, labels.names, outside), folder / name
        )

    if corpora.validation:
        validation = others(corpora.validation, "validation.arrow")
    else:
        keys = seen.keys(labels)
        aside = split(keys, config.corpus.validation_share, config.training.seed)
        if not aside.any():
            raise CorpusError(
                f"{corpora.train}: expected labels with two rows or more, one of which can be set "
                "aside for validation; received one row of each: name a validation corpus",
                option="validation",
            )
        train, validation = train.only(~aside), train.only(aside)
    test = others(corpora.test, "test.arrow") if corpora.test else None
    rows = Rows(train, validation, test, labels, multi_label)
    return rows if config.corpus.duplicates == "ignore" else _without_copies(rows, config, folder)


def _check_reject(config: Config, columns: FoundColumns) -> None:
    if columns.task == "multi_label":
        raise ConfigError(
            "the settings of reject: expected a task with one label a text, received one with "
            "several, where a text may have none anyway: leave reject out"
        )
    if config.reject.out_of_scope is None:
        return
    if columns.labels:
        raise ConfigError(
            f"reject.out_of_scope={config.reject.out_of_scope}: expected a corpus with a column of "
            "labels, received one of soft labels, which name no row that has none of them: leave "
            "corpus.probability_prefix out, or set reject.target_precision instead"
        )
    if config.training.sampling == "balanced":
        raise ConfigError(
            f"reject.out_of_scope={config.reject.out_of_scope} and training.sampling=balanced: "
            "expected one of them, for rows without a label can be balanced with none: set "
            "training.class_weights=balanced instead"
        )


def split(keys: NDArray[np.int32], share: float, seed: int) -> NDArray[np.bool_]:
    """Sets a share of each label's rows aside, so that both sides hold the labels alike.

    A label with a single row keeps it for training; every other label gives at least one row.

    Args:
        keys: The label id of each row, `(rows,)`.
        share: Share of rows to set aside, between 0 and 1.
        seed: Seed of the choice.

    Returns:
        Which rows are set aside, `(rows,)`.
    """
    generator = np.random.default_rng(seed)
    aside = np.zeros(len(keys), dtype=np.bool_)
    order = np.argsort(keys, kind="stable")
    _, starts = np.unique(keys[order], return_index=True)
    for rows in np.split(order, starts[1:]):
        count = min(len(rows) - 1, max(1, round(share * len(rows))))
        aside[generator.permutation(rows)[:count]] = True
    return aside


class _Seen:
    """What is noted of each training row as it passes: its labels, a few bytes a row."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._sets: dict[tuple[str, ...], int] = {}
        self._rows = array("i")

    def passing(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            self.counts.update(row.labels)
            self._rows.append(self._sets.setdefault(row.labels, len(self._sets)))
            yield row

    def keys(self, labels: Labels) -> NDArray[np.int32]:
        """What each row is split by: its label; of several the rarest; of none one key for all."""
        key_of = np.empty(len(self._sets), dtype=np.int32)
        for names, number in self._sets.items():
            rarest = min(names, key=lambda name: (self.counts[name], name), default=None)
            key_of[number] = len(labels) if rarest is None else labels.ids[rarest]
        return key_of[np.frombuffer(self._rows, dtype=np.int32)]


def _without_copies(rows: Rows, config: Config, folder: Path) -> Rows:
    """Looks for copies and, if the config says so, leaves them out."""
    finder = Finder(config.corpus.similarity, folder)
    for part, stored in rows.parts().items():
        for window in stored.windows():
            labels = [" | ".join(row.labels) for row in window]
            finder.add(part, [row.text for row in window], labels)
    found = finder.found()
    rows = replace(rows, duplicates=found, copies=tuple(_copies(rows, found)))
    if config.corpus.duplicates != "remove":
        return rows
    kept = {
        part: stored.only(_all_but(stored, found, part)) for part, stored in rows.parts().items()
    }
    for part, stored in kept.items():
        if not len(stored):
            raise CorpusError(
                f"no {part} rows are left once duplicates are removed: give other rows, or set "
                "corpus.duplicates=report"
            )
    return replace(rows, train=kept["train"], validation=kept["validation"], test=kept.get("test"))


def _copies(rows: Rows, found: Duplicates) -> Iterator[Copy]:
    parts = rows.parts()
    for example in found.examples:
        (first,), (second,) = (
            parts[part].at([number]) for part, number in (example.first, example.second)
        )
        of = (example.first[0], example.second[0])
        yield Copy(example.kind, example.similarity, of, (first, second))


def _all_but(stored: StoredRows, found: Duplicates, part: Part) -> NDArray[np.bool_]:
    kept = np.ones(len(stored), dtype=np.bool_)
    kept[found.removed[part]] = False
    return kept
