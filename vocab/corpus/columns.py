"""The columns of a corpus: which hold the texts, the labels and their probabilities."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gatewise.vocab.errors import CorpusError

if TYPE_CHECKING:
    # It imports pyarrow, which a classifier that only needs `Task` does without.
    from gatewise.vocab.corpus.memory_records import MemoryRecords
    from gatewise.vocab.corpus.record_stream import RecordStream

Task = Literal["single_label", "multi_label", "regression"]
"""Whether a text has exactly one label, any number of labels, including none, or numbers."""

Input = Literal["text", "sequence"]
"""Whether a row is a text or a sequence of numbers."""

TEXT, SEQUENCE = "text", "sequence"
"""The columns that hold a text and a sequence of numbers unless others are named."""

LABEL, LABELS, VALUE, VALUES = "label", "labels", "value", "values"
"""The columns that hold a label, a list of labels, a number and a list of numbers unless others are
named; a model that predicts one number calls its output `value`, too."""

WEIGHT = "sample_weight"
"""The column of the weights of rows that are in memory."""

PROBABILITY_PREFIX = "probability_"
"""Prefix of the columns with the probability of each label, where none is named."""


@dataclass(frozen=True, slots=True)
class FoundColumns:
    """The columns of a corpus, as found in its files.

    Attributes:
        text: The column of the text or of the sequence.
        label: The column of the label, the labels, the number or the list of numbers.
        task: Whether a text has one label, several, or numbers.
        probability_prefix: Prefix of the names of probability columns.
        labels: The labels, sorted, that have a probability column; the column `label` is then not
            read and may be missing. Empty without probability columns.
        weight: The column of the weights of the rows; None if all weigh the same.
        input: Whether the rows are texts or sequences of numbers.
        numbers: The columns of the numbers, where several have a column each; else empty.
    """

    text: str
    label: str
    task: Task
    probability_prefix: str = ""
    labels: tuple[str, ...] = ()
    weight: str | None = None
    input: Input = "text"
    numbers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that a corpus is expected to have.

    Attributes:
        text: The column of the text or of the sequence; where files have no column `text`, that is
            `sequence`.
        label: The column of the label, the labels, the number or the list of numbers; None takes
            the first of `label_names` that a file has. Columns of a number each are separated by
            commas.
        task: Whether a text has one label, several, or numbers; `auto` takes several where the
            label column is called `labels`, numbers where it is `value` or `values` and was not
            named, and where several columns are.
        probability_prefix: Prefix of the names of probability columns, if there may be any.
        weight: The column of the weights of the rows; None if all weigh the same.
        input: Whether the rows are texts or sequences; `auto` takes sequences where there is a
            column `sequence` and none `text`.
        names: The names of a model's numbers: without `label`, columns of all these names are read,
            if there are several.
    """

    text: str = TEXT
    label: str | None = None
    task: Task | Literal["auto"] = "auto"
    probability_prefix: str | None = None
    weight: str | None = None
    input: Input | Literal["auto"] = "auto"
    names: tuple[str, ...] = ()

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names that the label column may have, the first of them before the others."""
        if self.label is not None:
            return (self.label,)
        if self.task == "regression":
            return (VALUE, VALUES)
        return (LABEL, LABELS, VALUE, VALUES) if self.task == "auto" else (LABEL, LABELS)

    def numbers_in(self, present: Collection[str]) -> tuple[str, ...]:
        """The columns of several numbers; empty if a column of a table is to hold all of them."""
        if self.task not in ("auto", "regression"):
            return ()
        if self.label is None:
            return self.names if len(self.names) > 1 and set(self.names) <= {*present} else ()
        several = "," in self.label and self.label not in present
        return tuple(map(str.strip, self.label.split(","))) if several else ()

    def task_of(self, label: str) -> Task:
        """The task of a corpus with this label column."""
        if self.task != "auto":
            return self.task
        if label in (VALUE, VALUES) and self.label is None:
            return "regression"
        return "multi_label" if label == LABELS else "single_label"

    def found_in(self, records: "RecordStream | MemoryRecords") -> FoundColumns:
        """Find the columns in the files or the table of a corpus.

        Without any probability column, the label column is used.

        Raises:
            CorpusError: A file lacks a column, or the probability columns are inconsistent.
        """
        present = {name for table in records.tables for name in table.columns}
        text, input_ = self.text, self.input
        if input_ != "text" and text == TEXT and TEXT not in present and SEQUENCE in present:
            text, input_ = SEQUENCE, "sequence"
        input_ = "text" if input_ == "auto" else input_
        records.require(text, "text_column")
        if self.weight is not None:
            records.require(self.weight, "weight_column")
        names, prefix = self.label_names, self.probability_prefix
        soft = sorted(
            name[len(prefix) :]
            for name in present - {text, self.weight, *names}
            if prefix is not None and name.startswith(prefix)
        )
        if soft and self.task == "auto":
            # Probabilities are of labels: a column of numbers beside them is not read.
            names = tuple(name for name in names if name in (LABEL, LABELS, self.label))
        label = next((name for name in names if name in present), names[0])
        numbers = self.numbers_in(present)
        task = "regression" if numbers else self.task_of(label)
        targets = () if soft else numbers or (label,)
        for name in targets:
            records.require(name, "label_column")
        read = [name for name in (text, *targets, self.weight) if name is not None]
        if len(set(read)) < len(read):
            twice = next(name for name in read if read.count(name) > 1)
            raise CorpusError(
                f"{records.path}: expected a column each for the text, every label or number and "
                f"the weight, received {twice!r} for two of them",
                option="weight_column" if twice == self.weight else "label_column",
            )
        if prefix is None or not soft:
            return FoundColumns(
                text, label, task, weight=self.weight, input=input_, numbers=numbers
            )
        _check_soft(records, prefix, soft)
        return FoundColumns(text, label, task, prefix, tuple(soft), self.weight, input_)


def _check_soft(records: "RecordStream | MemoryRecords", prefix: str, labels: list[str]) -> None:
    for label in labels:
        if not label.strip():
            raise CorpusError(
                f"{records.path}: the column {prefix + label!r} names no label after "
                f"{prefix!r}: rename it"
            )
    if len(labels) < 2:
        raise CorpusError(
            f"{records.path}: expected a column of probabilities for each of two labels or more, "
            f"received only {prefix + labels[0]!r}"
        )
    for table in records.tables:
        for label in labels:
            if table.columns and prefix + label not in table.columns:
                raise CorpusError(
                    f"{table.name}: no column {prefix + label!r}, which another file of the "
                    "corpus has: every file needs the same columns of probabilities"
                )
