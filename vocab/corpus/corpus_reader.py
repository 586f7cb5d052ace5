"""The rows of a corpus: text and target, each checked, from files of any format or from memory.

In place of a text a row may have a sequence of numbers, which it carries as JSON.
"""

import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial

from gatewise.vocab.corpus.bad_row_policy import BadRows, T
from gatewise.vocab.corpus.columns import VALUE, Columns, FoundColumns
from gatewise.vocab.corpus.json_records import json_kind
from gatewise.vocab.corpus.label_values import (
    likely_labels,
    name_labels,
    numbers_of,
    one_label,
    probabilities,
    several_labels,
    unknown_label,
    weight_of,
)
from gatewise.vocab.corpus.memory_records import MemoryRecords, MemoryTable
from gatewise.vocab.corpus.read_options import ReadOptions
from gatewise.vocab.corpus.record_stream import RecordStream, open_records
from gatewise.vocab.corpus.records import BadRow, Location, Record
from gatewise.vocab.corpus.sequences import as_json, as_numbers
from gatewise.vocab.corpus.shown_names import shown_names
from gatewise.vocab.errors import CorpusError, SequenceError


@dataclass(frozen=True, slots=True)
class Row:
    """A text with its labels, or with its numbers.

    Attributes:
        text: The text as in the file, never blank; or a sequence of numbers as JSON.
        labels: Its labels, sorted and distinct: exactly one in a single-label task, any number in a
            multi-label task. An integer label becomes a decimal string. An out-of-scope row of a
            single-label task has none. In a regression, the names of the numbers, in their order:
            `value`; of a list of several `value_1`, `value_2` and so on; or their columns.
        location: Where the row starts.
        probabilities: With soft labels, the probability of each label of the task, in the order
            of the sorted labels.
        values: In a regression, the numbers to predict; None in other tasks.
        weight: What its loss is multiplied by in training, above 0.
    """

    text: str
    labels: tuple[str, ...]
    location: Location
    probabilities: tuple[float, ...] | None = None
    values: tuple[float, ...] | None = None
    weight: float = 1.0

    @property
    def label(self) -> str:
        """The label, in a single-label task."""
        (label,) = self.labels
        return label

    @property
    def targets(self) -> tuple[str, ...]:
        """Its labels or, in a regression, its numbers as text."""
        return self.labels if self.values is None else tuple(map(str, self.values))


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus whose files were found and their columns checked.

    Attributes:
        records: Its records; every call of `rows` reads them again.
        columns: Its columns and task.
    """

    records: RecordStream | MemoryRecords
    columns: FoundColumns

    def rows(
        self,
        bad_rows: BadRows,
        known_labels: Collection[str] | None = None,
        out_of_scope: str | None = None,
        *,
        accept_unknown: bool = False,
        features: int | None = None,
    ) -> Iterator[Row]:
        """Read the rows in a stream.

        Args:
            bad_rows: What happens to a row that cannot be used.
            known_labels: The labels of the model; a row with any other is bad, and there must be
                a probability column for each of them. None allows all labels. In a regression the
                names of its numbers, in their order.
            out_of_scope: In a single-label task, the label of rows without any of the labels.
            accept_unknown: Whether a row may have other labels than those of the model.
            features: Numbers of a step of every sequence; None for as many as the first row has.

        Returns:
            The rows in the order of the files, one at least.

        Raises:
            CorpusError: The probability columns are of other labels, or the columns of numbers are
                others than those of the model; raised at once. A file cannot be read, or no row is
                left; raised by the iterator.
            BadRowsError: A row is bad and the policy is to stop; raised by the iterator.
        """
        known = None if known_labels is None else frozenset(known_labels)
        if known is not None and self.columns.labels:
            self._check_probabilities(known)
        if known is not None and out_of_scope is not None:
            known |= {out_of_scope}
        read = self._sequences(features) if self.columns.input == "sequence" else self._text
        row_of: _RowOf
        if self.columns.labels:
            row_of = _soft_row
        elif self.columns.task == "regression":
            row_of = self._numbers(None if known_labels is None else tuple(known_labels))
        else:
            hard_row = _single_row if self.columns.task == "single_label" else _multi_row
            row_of = partial(hard_row, known=known, accept_unknown=accept_unknown)
        rows = bad_rows.keep(_rows(self.records, self.columns, read, row_of))
        if out_of_scope is not None:
            rows = (
                replace(row, labels=()) if row.labels == (out_of_scope,) else row for row in rows
            )
        return at_least_one(rows, self.records.path)

    def _text(self, record: Record) -> str | BadRow:
        return text_of(record, self.columns.text)

    def _sequences(self, features: int | None) -> Callable[[Record], str | BadRow]:
        """Reads the sequences of records, all of which have steps of one width."""
        width, column = features, self.columns.text

        def read(record: Record) -> str | BadRow:
            nonlocal width
            sequence = sequence_of(record, column, width, as_json)
            if width is not None:
                return sequence
            if isinstance(sequence, str):
                width = as_numbers(sequence).shape[1]
            elif isinstance(text := record.values.get(column), str) and text.strip():
                way = f"to read texts, set corpus.text_column={column} and corpus.input=text"
                return replace(sequence, reason=f"{sequence.reason}: a list is JSON; {way}")
            return sequence

        return read

    def _numbers(self, names: tuple[str, ...] | None) -> "_RowOf":
        """Reads the numbers of records, all of which have as many.

        Args:
            names: The names of the model's numbers; None for those of the corpus.
        """
        columns = self.columns.numbers
        if columns and names is not None and set(columns) != set(names):
            raise CorpusError(
                f"{self.records.path}: expected the columns of the model's numbers, "
                f"{shown_names(names)}, received {shown_names(columns)}",
                option="label_column",
            )
        names = names or columns or None
        count = None if names is None else len(names)

        def read(record: Record, text: str, of_corpus: FoundColumns) -> Row | BadRow:
            nonlocal names, count
            numbers = numbers_of(record, (columns and names) or (of_corpus.label,), count)
            if isinstance(numbers, BadRow):
                return numbers
            if names is None:
                count = len(numbers)
                several = tuple(f"{VALUE}_{place}" for place in range(1, count + 1))
                names = several if count > 1 else (VALUE,)
            return Row(text, names, record.location, values=numbers)

        return read

    def require_probabilities(self) -> None:
        """Check that the corpus has probability columns.

        Raises:
            CorpusError: It has none.
        """
        if not self.columns.labels:
            names = shown_names(self.records.tables[0].columns)
            raise CorpusError(
                f"{self.records.path}: no column of probabilities; the columns are: {names}. Set "
                "corpus.probability_prefix to what the names of those columns begin with"
            )

    def _check_probabilities(self, known: frozenset[str]) -> None:
        path, prefix = self.records.path, self.columns.probability_prefix
        for label in self.columns.labels:
            if label not in known:
                raise CorpusError(
                    f"{path}: column {prefix + label!r}: {unknown_label(label, known)}"
                )
        if lacking := sorted(known - set(self.columns.labels)):
            raise CorpusError(
                f"{path}: no column {prefix + lacking[0]!r}: expected a column of probabilities "
                f"for each of the {len(known)} labels"
            )


def open_corpus(
    source: str | os.PathLike[str] | MemoryTable,
    columns: Columns | None = None,
    options: ReadOptions | None = None,
) -> Corpus:
    """Find the files of a corpus and check their columns; no row is read yet.

    Args:
        source: A data file or a folder of them, see `open_records`; or a table in memory.
        columns: The columns to expect; None for the defaults.
        options: How the files are to be read.

    Raises:
        CorpusError: A file cannot be read, or a column is missing.
    """
    records: RecordStream | MemoryRecords
    if isinstance(source, MemoryTable):
        records = MemoryRecords(source)
    else:
        records = open_records(source, options=options)
    return Corpus(records, (columns or Columns()).found_in(records))


def read_rows(
    path: str | os.PathLike[str] | MemoryTable,
    *,
    bad_rows: BadRows,
    columns: Columns | None = None,
    known_labels: Collection[str] | None = None,
    out_of_scope: str | None = None,
) -> Iterator[Row]:
    """Read a corpus of texts and labels in a stream.

    The files and their columns are checked at once, the rows while iterating. Arguments and errors
    are those of `open_corpus` and `Corpus.rows`.
    """
    return open_corpus(path, columns).rows(bad_rows, known_labels, out_of_scope)


def read_texts(
    path: str | os.PathLike[str], *, bad_rows: BadRows, text_column: str = "text"
) -> Iterator[str]:
    """Read the texts of a corpus in a stream; see `texts_of`.

    Args:
        path: A data file or a folder of them; see `open_records`.
        bad_rows: What happens to a row that cannot be used.
        text_column: The text column.
    """
    return texts_of(open_records(path), bad_rows=bad_rows, text_column=text_column)


def texts_of(
    records: RecordStream, *, bad_rows: BadRows, text_column: str = "text"
) -> Iterator[str]:
    """Read the texts of records in a stream; see `texts_with_records`."""
    found = texts_with_records(records, bad_rows=bad_rows, text_column=text_column)
    return (text for text, _ in found)


def texts_with_records(
    records: RecordStream | MemoryRecords, *, bad_rows: BadRows, text_column: str = "text"
) -> Iterator[tuple[str, Record]]:
    """Read the texts of records in a stream, each with its record; they need no labels.

    Args:
        records: The records.
        bad_rows: What happens to a row that cannot be used.
        text_column: The text column.

    Returns:
        The texts in the order of the files, one at least.

    Raises:
        CorpusError: The column is missing; raised at once. A file cannot be read, or no row is
            left; raised by the iterator.
        BadRowsError: A row is bad and the policy is to stop; raised by the iterator.
    """
    records.require(text_column, "text_column")

    def read() -> Iterator[tuple[str, Record] | BadRow]:
        for record in records:
            if isinstance(record, BadRow):
                yield record
                continue
            text = text_of(record, text_column)
            yield text if isinstance(text, BadRow) else (text, record)

    return at_least_one(bad_rows.keep(read()), records.path)


def text_of(record: Record, column: str) -> str | BadRow:
    """The text of a record, or a bad row with the reason why there is none."""
    text = record.values.get(column)
    if isinstance(text, str) and text and not text.isspace():
        return text
    if text is None or isinstance(text, str):
        return record.bad("the text is missing")
    return record.bad(f"expected the text to be a string, received {json_kind(text)}")


def sequence_of(
    record: Record,
    column: str,
    features: int | None,
    form: Callable[[object, int | None], T],
) -> T | BadRow:
    """The sequence of a record, or a bad row with the reason why there is none.

    Args:
        record: The record.
        column: The column of the sequence.
        features: Numbers of a step; None for any.
        form: `as_json` or `as_numbers` of `gatewise.vocab.corpus.sequences`.
    """
    value = record.values.get(column)
    if value is None or (isinstance(value, str) and not value.strip()):
        return record.bad("the sequence is missing")
    try:
        return form(value, features)
    except SequenceError as error:
        return record.bad(str(error))


def at_least_one(items: Iterator[T], path: str) -> Iterator[T]:
    """Yield the items of a stream, and refuse an empty one.

    Raises:
        CorpusError: The stream has no item; raised by the iterator.
    """
    for item in items:
        yield item
        break
    else:
        raise CorpusError(f"{path}: holds no rows that can be used")
    yield from items


def _rows(
    records: RecordStream | MemoryRecords,
    columns: FoundColumns,
    read: Callable[[Record], str | BadRow],
    row_of: "_RowOf",
) -> Iterator[Row | BadRow]:
    any_zero = any_used = False
    for table in records.tables:
        names = table.class_names.get(columns.label)
        for item in table.records():
            record = item
            if names is not None and isinstance(item, Record):
                record = name_labels(item, columns.label, names)
            if isinstance(record, BadRow):
                yield record
                continue
            weight = 1.0 if columns.weight is None else weight_of(record, columns.weight)
            if isinstance(weight, BadRow):
                yield weight
            elif weight == 0:
                any_zero = True
            else:
                any_used = True
                text = read(record)
                row = text if isinstance(text, BadRow) else row_of(record, text, columns)
                if weight != 1 and isinstance(row, Row):
                    row = replace(row, weight=weight)
                yield row
    if any_zero and not any_used:
        raise CorpusError(
            f"{records.path}: column {columns.weight!r}: expected a weight above zero for some of "
            "the rows, received zeros",
            option="weight_column",
        )


def _single_row(
    record: Record,
    text: str,
    columns: FoundColumns,
    *,
    known: frozenset[str] | None,
    accept_unknown: bool,
) -> Row | BadRow:
    label = one_label(record, columns.label, known, accept_unknown=accept_unknown)
    return label if isinstance(label, BadRow) else Row(text, (label,), record.location)


def _multi_row(
    record: Record,
    text: str,
    columns: FoundColumns,
    *,
    known: frozenset[str] | None,
    accept_unknown: bool,
) -> Row | BadRow:
    labels = several_labels(record, columns.label, known, accept_unknown=accept_unknown)
    return labels if isinstance(labels, BadRow) else Row(text, labels, record.location)


_RowOf = Callable[[Record, str, FoundColumns], Row | BadRow]
"""Makes a row of a record, its text and the columns of the corpus."""


def _soft_row(record: Record, text: str, columns: FoundColumns) -> Row | BadRow:
    found = probabilities(record, columns.probability_prefix, columns.labels, columns.task)
    if isinstance(found, BadRow):
        return found
    labels = likely_labels(found, columns.labels, columns.task)
    return Row(text, labels, record.location, found)
