"""The columns that a scored file gets beside its own: labels, scores, probabilities.

Owns their names, their types and what stands in them. Knows arrays of probabilities; neither
texts nor how a table is written.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from service.classifier import Classifier
from service.scores import ranked, shortest
from vocab.errors import CorpusError
from vocab.files import DataFile, Format
from vocab.label_values import SEPARATOR

PROBABILITY_PREFIX = "probability_"
"""What the name of a column of probabilities begins with; the label is the rest of it."""


@dataclass(frozen=True, slots=True)
class Answers:
    """The columns of a classifier's answers in one table.

    Attributes:
        classes: The labels, in the order of the probabilities.
        thresholds: The classifier's; None where a text has exactly one label.
        label_column: Column of the best label, or of the list of labels.
        score_column: Column of its probability, or of theirs.
        probabilities: Whether each label has a column with its probability.
        as_text: Whether a list is written as a text, with `|` between its items.
    """

    classes: tuple[str, ...]
    thresholds: tuple[float, ...] | None
    label_column: str
    score_column: str
    probabilities: bool
    as_text: bool

    @classmethod
    def among(
        cls,
        classifier: Classifier,
        columns: tuple[str, ...],
        source: str,
        target: Path,
        *,
        probabilities: bool = False,
    ) -> "Answers":
        """Finds names that the input's own columns leave free.

        Args:
            classifier: The model.
            columns: The input's columns.
            source: The input, for messages.
            target: The output; CSV and TSV hold no lists.
            probabilities: Whether each label gets a column of its own.

        Raises:
            CorpusError: A column of the answers exists already, or a label cannot be written.
        """
        as_text = DataFile.named(target).format in (Format.CSV, Format.TSV)
        if classifier.multi_label and as_text:
            for label in classifier.classes_:
                if SEPARATOR in label:
                    raise CorpusError(
                        f"{target}: the label {label!r} holds {SEPARATOR!r}, which stands between "
                        "labels in a cell: write .jsonl or .parquet instead"
                    )
        plain = ("labels", "scores") if classifier.multi_label else ("label", "score")
        pair = _free(plain, columns, source)
        answers = cls(
            tuple(classifier.classes_), classifier.thresholds, *pair, probabilities, as_text
        )
        if taken := sorted(set(answers.names) & set(columns)):
            raise CorpusError(f"{source}: the column {taken[0]!r} exists already; rename it")
        return answers

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(field.name for field in self.fields)

    @property
    def fields(self) -> tuple[pa.Field, ...]:
        """The columns with their types, in order."""
        label, score = pa.string(), pa.float32()
        if self.thresholds is not None:
            label, score = pa.list_(label), pa.list_(score)
        every = self.classes if self.probabilities else ()
        return (
            pa.field(self.label_column, label),
            pa.field(self.score_column, score),
            *(pa.field(PROBABILITY_PREFIX + name, pa.float32()) for name in every),
        )

    def rows(
        self, probabilities: NDArray[np.float32], none: Sequence[str | None]
    ) -> Iterator[dict[str, object]]:
        """What the columns hold.

        Args:
            probabilities: float32, shape `(rows, labels)`.
            none: What each row is given instead of a label, or None.

        Yields:
            Column to value, for each row.
        """
        for row, instead in zip(probabilities, none, strict=True):
            yield {**self._best(row, instead), **self._every(row)}

    def _best(self, row: NDArray[np.float32], none: str | None) -> dict[str, object]:
        if self.thresholds is None:
            ((label, score),) = ranked(self.classes, row, 1, none=none)
            return {self.label_column: label, self.score_column: score}
        found = ranked(self.classes, row, thresholds=self.thresholds)
        labels, scores = [label for label, _ in found], [score for _, score in found]
        if self.as_text:
            texts = SEPARATOR.join(labels), SEPARATOR.join(map(str, scores))
            return dict(zip((self.label_column, self.score_column), texts, strict=True))
        return {self.label_column: labels, self.score_column: scores}

    def _every(self, row: NDArray[np.float32]) -> dict[str, object]:
        if not self.probabilities:
            return {}
        return {
            PROBABILITY_PREFIX + label: shortest(score)
            for label, score in zip(self.classes, row, strict=True)
        }


def _free(plain: tuple[str, str], columns: tuple[str, ...], source: str) -> tuple[str, str]:
    label, score = plain
    if not {label, score} & set(columns):
        return plain
    careful = (f"predicted_{label}", f"predicted_{score}")
    if taken := sorted(set(careful) & set(columns)):
        raise CorpusError(
            f"{source}: the column {taken[0]!r} exists already, and so does {label!r} or "
            f"{score!r}; rename it, for the answer needs a column of its own"
        )
    return careful
