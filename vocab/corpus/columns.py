"""The columns of a corpus: which hold the texts, the labels and their probabilities."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gatewise.vocab.errors import CorpusError

if TYPE_CHECKING:
    # It imports pyarrow, which a classifier that only needs `Task` does without.
    from gatewise.vocab.corpus.memory_records import MemoryRecords
    from gatewise.vocab.corpus.record_stream import RecordStream

Task = Literal["single_label", "multi_label", "regression"]
"""Whether a text has exactly one label, any number of labels, including none, or a number."""

LABEL, LABELS, VALUE = "label", "labels", "value"
"""The columns that hold a label, a list of labels and a number unless others are named; a model
that predicts numbers calls its one output `value`, too."""

WEIGHT = "sample_weight"
"""The column of the weights of rows that are in memory."""

PROBABILITY_PREFIX = "probability_"
"""Prefix of the columns with the probability of each label, where none is named."""


@dataclass(frozen=True, slots=True)
class FoundColumns:
    """The columns of a corpus, as found in its files.

    Attributes:
        text: The text column.
        label: The column of the label, the labels or the number.
        task: Whether a text has one label, several, or a number.
        probability_prefix: Prefix of the names of probability columns.
        labels: The labels, sorted, that have a probability column; the column `label` is then not
            read and may be missing. Empty without probability columns.
        weight: The column of the weights of the rows; None if all weigh the same.
    """

    text: str
    label: str
    task: Task
    probability_prefix: str = ""
    labels: tuple[str, ...] = ()
    weight: str | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that a corpus is expected to have.

    Attributes:
        text: The text column.
        label: The column of the label, the labels or the number; None takes the first that a file
            has of `label`, `labels` and `value`.
        task: Whether a text has one label, several, or a number; `auto` takes several where the
            label column is called `labels`, and a number where it is called `value`.
        probability_prefix: Prefix of the names of probability columns, if there may be any.
        weight: The column of the weights of the rows; None if all weigh the same.
    """

    text: str = "text"
    label: str | None = None
    task: Task | Literal["auto"] = "auto"
    probability_prefix: str | None = None
    weight: str | None = None

    def found_in(self, records: "RecordStream | MemoryRecords") -> FoundColumns:
        """Find the columns in the files or the table of a corpus.

        Without any probability column, the label column is used.

        Raises:
            CorpusError: A file lacks a column, or the probability columns are inconsistent.
        """
        present = {name for table in records.tables for name in table.columns}
        label = self.label
        if label is None:
            named = (VALUE,) if self.task == "regression" else (LABEL, LABELS, VALUE)
            label = next((name for name in named if name in present), named[0])
        task = self.task
        if task == "auto":
            of_names: dict[str, Task] = {LABELS: "multi_label", VALUE: "regression"}
            task = of_names.get(label, "single_label")
        records.require(self.text, "text_column")
        if self.weight is not None:
            records.require(self.weight, "weight_column")
        prefix = self.probability_prefix
        soft = sorted(
            name[len(prefix) :]
            for name in present - {self.text, label, self.weight}
            if prefix is not None and name.startswith(prefix)
        )
        if prefix is None or not soft:
            records.require(label, "label_column")
            return FoundColumns(self.text, label, task, weight=self.weight)
        _check_soft(records, prefix, soft)
        return FoundColumns(self.text, label, task, prefix, tuple(soft), self.weight)


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
