"""The corpora of a run, read and split into training, validation and test rows.

Every corpus is parsed once, in a stream, and its valid rows are stored on disk; memory grows by a
few bytes a row.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gatewise.training.config.config import Config, ConfigError
from gatewise.training.data.duplicates import Duplicates, Finder, Part
from gatewise.training.data.settings_check import check_settings
from gatewise.training.data.stored_rows import StoredRows, store
from gatewise.training.data.value_scale import ValueScale
from gatewise.vocab.corpus.bad_row_policy import BadRows
from gatewise.vocab.corpus.columns import VALUE, VALUES, Columns, FoundColumns, Task
from gatewise.vocab.corpus.corpus_reader import Corpus, Row, open_corpus
from gatewise.vocab.corpus.dataset_folders import splits_of
from gatewise.vocab.corpus.labels import Labels
from gatewise.vocab.corpus.memory_records import MemoryTable
from gatewise.vocab.corpus.read_options import ReadOptions
from gatewise.vocab.corpus.record_stream import open_records
from gatewise.vocab.corpus.records import Record
from gatewise.vocab.corpus.sequences import as_numbers
from gatewise.vocab.errors import CorpusError

Source = Path | MemoryTable
"""A corpus: a data file or a folder of them, or a table in memory."""


@dataclass(frozen=True)
class Corpora:
    """The corpora of a run.

    Attributes:
        train: Training rows.
        validation: Validation rows; if None, a share of the training rows is held out.
        test: Test rows, which nothing is chosen by; if None, there is no test report.
    """

    train: Source
    validation: Source | None = None
    test: Source | None = None


_FEW_HELD_OUT = 10
"""Rows up to which every label gives one, whatever the share."""


@dataclass(frozen=True)
class Copy:
    """Two rows with the same or nearly the same text.

    Attributes:
        kind: See `gatewise.training.data.duplicates.Example`.
        similarity: Estimated similarity of the texts.
        parts: The parts that the two rows belong to.
        rows: The rows.
    """

    kind: str
    similarity: float
    parts: tuple[Part, Part]
    rows: tuple[Row, Row]


@dataclass(frozen=True)
class UnknownLabels:
    """Labels of a part that no training row has.

    Attributes:
        part: The part; its rows with such labels are left out of validation, and kept in test.
        rows: Number of these rows.
        labels: How many of them have each label.
        first: The first of them.
    """

    part: Part
    rows: int
    labels: Mapping[str, int]
    first: Row


@dataclass(frozen=True)
class Rows:
    """The rows of a run.

    Attributes:
        train: Training rows.
        validation: Validation rows.
        test: Test rows; None without a test corpus.
        labels: The labels of the training rows, and those that the task has besides. With
            `reject.out_of_scope`, every part may hold rows that have none of them.
        multi_label: Whether a text may have several of them, or none.
        duplicates: The texts that occur more than once; None if they were not searched for.
        copies: Examples of them.
        notes: What was found out about how to read the corpora, one line each.
        held_out: Whether the validation rows are a part of the training corpus.
        unknown: Labels of validation and test rows that no training row has.
        known_labels: Labels that need no training row.
        scale: In a regression, how the numbers are standardized: `labels` are then their names, in
            their order; None in other tasks.
        features: Numbers of a step, if the rows are sequences of numbers; 0 of texts.
    """

    train: StoredRows
    validation: StoredRows
    test: StoredRows | None
    labels: Labels
    multi_label: bool
    duplicates: Duplicates | None = None
    copies: tuple[Copy, ...] = ()
    notes: tuple[str, ...] = ()
    held_out: bool = False
    unknown: tuple[UnknownLabels, ...] = ()
    known_labels: tuple[str, ...] = ()
    scale: ValueScale | None = None
    features: int = 0

    @property
    def task(self) -> Task:
        """Whether a text has one label, several, or numbers."""
        if self.scale is not None:
            return "regression"
        return "multi_label" if self.multi_label else "single_label"

    def in_scope(self, row: Row) -> bool:
        """Whether a row has a label or, in a multi-label task, may have none."""
        return bool(row.labels) or self.multi_label

    def parts(self) -> dict[Part, StoredRows]:
        """The rows of each part, test only if there is one."""
        parts: dict[Part, StoredRows] = {"train": self.train, "validation": self.validation}
        return {**parts, "test": self.test} if self.test else parts


def read(
    corpora: Corpora,
    config: Config,
    bad_rows: BadRows,
    folder: Path,
    known_labels: tuple[str, ...] = (),
) -> Rows:
    """Reads the corpora of a run, and holds validation rows out if there is no such corpus.

    Args:
        corpora: Where the rows are.
        config: The run's settings.
        bad_rows: What happens to a row that cannot be used.
        folder: Folder in which the rows are stored for the run.
        known_labels: Labels of the task that need no training row.

    Raises:
        ConfigError: If the settings do not fit the rows.
        CorpusError: If a corpus cannot be read, or holds fewer than two labels.
        BadRowsError: If a row is bad, and the policy is to stop.
    """
    columns, options = config.corpus.columns(), config.corpus.read_options()
    given = corpora
    corpora = _with_splits(corpora)
    reader = open_corpus(corpora.train, columns, options)
    notes = [*reader.records.notes, *_task_notes(reader, columns)]
    if columns.probability_prefix is not None:
        reader.require_probabilities()
    is_regression = reader.columns.task == "regression"
    check_settings(config, reader.columns)
    counts, out_of_scope = _LabelCounts(), config.reject.out_of_scope
    rows = reader.rows(bad_rows, out_of_scope=out_of_scope)
    limit = config.tokens.text_limit() if reader.columns.input == "text" else None
    train = store(counts.noting(rows), folder / "train.arrow", limit)
    # Before the other corpora are read.
    found_labels = [*(reader.columns.labels or counts.of_labels), *known_labels]
    first = next(iter(train))
    labels = Labels(first.labels) if is_regression else _labels(found_labels, config, corpora.train)
    features = as_numbers(first.text).shape[1] if limit is None else 0
    # Validation and test rows count the same.
    columns = replace(
        columns,
        task=reader.columns.task,
        text=reader.columns.text,
        input=reader.columns.input,
        weight=None,
    )

    unknown: list[UnknownLabels] = []

    def others(source: Source, part: Part) -> StoredRows:
        corpus = open_corpus(source, columns, options)
        notes.extend(corpus.records.notes)
        rows = corpus.rows(
            bad_rows,
            labels.names,
            out_of_scope,
            accept_unknown=True,
            features=features or None,
        )
        seen = _UnknownCounts(labels, part)
        stored = store(seen.noting(rows), folder / f"{part}.arrow", limit)
        if found := seen.found():
            unknown.append(found)
        if not len(stored):
            raise CorpusError(f"{corpus.records.path}: no row has a label of the training corpus")
        return stored

    if corpora.validation:
        validation = others(corpora.validation, "validation")
    else:
        keys = counts.keys(labels)
        share, fold = config.corpus.validation_share, config.corpus.fold
        held_out = split(keys, share, config.training.seed, fold)
        if not held_out.any():
            of_numbers = columns.task == "regression"
            of_label, received = ("", "") if of_numbers else ("labels with ", " row of each")
            raise CorpusError(
                f"{corpora.train}: expected {of_label}two rows or more, one of which can be held "
                f"out for validation; received one{received}: name a validation corpus",
                option="validation",
            )
        train, validation = train.only(~held_out), train.only(held_out)
    if given.test is None:
        corpora = _with_labelled_test(corpora, columns, options, labels)
    notes = [*_split_notes(given.train, corpora), *notes]
    test = others(corpora.test, "test") if corpora.test else None
    found = Rows(
        train,
        validation,
        test,
        labels,
        reader.columns.task == "multi_label",
        notes=tuple(notes),
        held_out=corpora.validation is None,
        unknown=tuple(unknown),
        known_labels=known_labels,
        features=features,
    )
    if config.corpus.duplicates != "ignore":
        found = _with_duplicates(found, config, folder)
    return replace(found, scale=ValueScale.of(found.train)) if is_regression else found


def holds_out(corpora: Corpora) -> bool:
    """Whether the validation rows are held out of the training corpus."""
    splits = splits_of(corpora.train) if isinstance(corpora.train, Path) else {}
    return corpora.validation is None and not {"train", "validation"} <= splits.keys()


def _labels(names: list[str], config: Config, source: Source) -> Labels:
    """The labels of a training corpus."""
    try:
        labels = Labels.of(names)
    except CorpusError as error:
        raise CorpusError(f"{source}: {error}") from None
    if config.reject.is_wanted and config.reject.label in labels.ids:
        raise ConfigError(
            f"reject.label={config.reject.label}: expected a name that no label has, but it is a "
            f"label of {source}: set reject.label to another"
        )
    return labels


def columns_of(source: Source, config: Config) -> FoundColumns:
    """The columns of a training corpus.

    Raises:
        CorpusError: If it cannot be read.
    """
    train = _with_splits(Corpora(source)).train
    return open_corpus(train, config.corpus.columns(), config.corpus.read_options()).columns


def _with_splits(corpora: Corpora) -> Corpora:
    """The corpora with the splits of the training corpus, if it is a folder of them."""
    splits = splits_of(corpora.train) if isinstance(corpora.train, Path) else {}
    if "train" not in splits:
        return corpora
    return Corpora(
        splits["train"],
        corpora.validation or splits.get("validation"),
        corpora.test or splits.get("test"),
    )


def _with_labelled_test(
    corpora: Corpora, columns: Columns, options: ReadOptions, labels: Labels
) -> Corpora:
    """The corpora, without the test split of a folder if its labels are hidden.

    The labels of the training rows tell whether -1 is one.
    """
    test = corpora.test
    if not isinstance(test, Path) or _has_labels(test, columns, options, labels):
        return corpora
    return replace(corpora, test=None)


def _has_labels(path: Path, columns: Columns, options: ReadOptions, labels: Labels) -> bool:
    """Whether the first row has a label; public data sets often hide those of their test split."""
    records = open_records(path, options=options)
    first = next(iter(records), None)
    if columns.probability_prefix is not None or not isinstance(first, Record):
        return True
    # Only of several labels, an empty cell means none.
    missing = (None,) if columns.task == "multi_label" else (None, "")
    names = columns.numbers_in(first.values) or columns.label_names
    given = [name for name in names if first.values.get(name) not in missing]
    if not given or columns.task == "regression":
        return bool(given)
    # -1 stands for a hidden label, unless it is a label: the number of a named one never is.
    is_numbered = any(given[0] in table.class_names for table in records.tables)
    is_label = "-1" in labels.ids and not is_numbered
    return is_label or str(first.values[given[0]]) not in ("-1", "[-1]")


def _split_notes(given: Source, corpora: Corpora) -> Iterator[str]:
    splits = splits_of(given) if isinstance(given, Path) else {}
    if not splits or splits.get("train") != corpora.train:
        return
    used = [part for part in ("train", "validation", "test") if part in splits]
    used = [part for part in used if splits[part] == getattr(corpora, part)]
    yield f"{given}: its splits are used as such: {', '.join(used)}"
    if "test" in splits and corpora.test is None:
        yield f"{given}: its split test has no labels and is left out"


def _task_notes(reader: Corpus, columns: Columns) -> Iterator[str]:
    """What is made of a column `value` or `values` where the settings leave the task open."""
    column = reader.columns.label
    if column not in (VALUE, VALUES) or columns.task != "auto" or reader.columns.labels:
        return
    if reader.columns.task == "regression":
        yield (
            f"{reader.records.path}: the column {column!r} is read as numbers to predict; for "
            f"labels, set corpus.label_column={column}"
        )
    else:
        yield (
            f"{reader.records.path}: the column {column!r} is read as labels, because it was "
            "named; for numbers to predict, set corpus.task=regression"
        )


def split(keys: NDArray[np.int32], share: float, seed: int, fold: int = 0) -> NDArray[np.bool_]:
    """Holds a share of each label's rows out (stratified split).

    A label with a single row keeps it for training; every other label gives at least one row,
    unless that would hold out more than twice the share, and more than ten rows: then only some of
    the labels with few rows do.

    Args:
        keys: The label id of each row, `(rows,)`.
        share: Share of rows to hold out, between 0 and 1.
        seed: Seed of the choice.
        fold: Which of the shares of each label's rows.

    Returns:
        Which rows are held out, `(rows,)`.
    """
    generator = np.random.default_rng(seed)
    held_out = np.zeros(len(keys), dtype=np.bool_)
    order = np.argsort(keys, kind="stable")
    _, starts = np.unique(keys[order], return_index=True)
    labels = np.split(order, starts[1:])
    counts = [min(len(rows) - 1, max(1, round(share * len(rows)))) for rows in labels]
    wanted = max(1, round(share * len(keys)))
    if sum(counts) > max(2 * wanted, _FEW_HELD_OUT):
        few = [number for number, rows in enumerate(labels) if round(share * len(rows)) < 1]
        for number in generator.permutation(few)[: sum(counts) - wanted]:
            counts[number] = 0
    for rows, count in zip(labels, counts, strict=True):
        held_out[np.roll(generator.permutation(rows), -fold * count)[:count]] = True
    return held_out


class _LabelCounts:
    """The labels of the training rows, collected as they are stored; a few bytes a row."""

    def __init__(self) -> None:
        self.of_labels: Counter[str] = Counter()
        self._sets: dict[tuple[str, ...], int] = {}
        self._rows = array("i")

    def noting(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            self.of_labels.update(row.labels)
            self._rows.append(self._sets.setdefault(row.labels, len(self._sets)))
            yield row

    def keys(self, labels: Labels) -> NDArray[np.int32]:
        """The key that each row is split by: its label id, of several labels the rarest's.

        All rows without a label have the same key.
        """
        key_of = np.empty(len(self._sets), dtype=np.int32)
        for names, number in self._sets.items():
            rarest = min(names, key=lambda name: (self.of_labels[name], name), default=None)
            key_of[number] = len(labels) if rarest is None else labels.ids[rarest]
        return key_of[np.frombuffer(self._rows, dtype=np.int32)]


class _UnknownCounts:
    """The labels of validation or test rows that no training row has.

    A row that has one is left out of validation, where everything is chosen by labels that the
    model has. In test it stays, because it is an error of the model.
    """

    def __init__(self, labels: Labels, part: Part) -> None:
        self._labels, self._part = labels, part
        self._rows = 0
        self._counts: Counter[str] = Counter()
        self._first: Row | None = None

    def noting(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            unknown = [label for label in row.labels if label not in self._labels.ids]
            if unknown:
                self._rows += 1
                self._counts.update(unknown)
                self._first = self._first or row
            if not unknown or self._part == "test":
                yield row

    def found(self) -> UnknownLabels | None:
        if self._first is None:
            return None
        counts = dict(self._counts.most_common())
        return UnknownLabels(self._part, self._rows, counts, self._first)


def _with_duplicates(rows: Rows, config: Config, folder: Path) -> Rows:
    """Finds duplicates and, if the config says so, removes them."""
    # The windows of one series share most of their numbers and are none the less different rows.
    similarity = 1.0 if rows.features else config.corpus.similarity
    found, copies = find_duplicates(rows.parts(), similarity, folder)
    rows = replace(rows, duplicates=found, copies=copies)
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


def find_duplicates(
    parts: Mapping[Part, StoredRows],
    similarity: float,
    folder: Path,
    max_conflicts: int | None = None,
) -> tuple[Duplicates, tuple[Copy, ...]]:
    """The duplicates among the rows of some parts, and the rows of their examples.

    Args:
        parts: The rows.
        similarity: Similarity from which on texts are near-duplicates.
        folder: Folder for a temporary file.
        max_conflicts: See `gatewise.training.data.duplicates.Finder`.
    """
    finder = Finder(similarity, folder, max_conflicts=max_conflicts)
    for part, stored in parts.items():
        for window in stored.windows():
            labels = [" | ".join(row.targets) for row in window]
            finder.add(part, [row.text for row in window], labels)
    found = finder.found()
    return found, tuple(_copies(parts, found))


def _copies(parts: Mapping[Part, StoredRows], found: Duplicates) -> Iterator[Copy]:
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
