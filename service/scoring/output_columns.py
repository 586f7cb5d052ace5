"""The columns that a scored file gets beside its own: labels, scores, probabilities.

Owns their names, their types and what stands in them. Knows arrays of probabilities; neither
texts nor how a table is written.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.scores import ranked
from gatewise.vocab.corpus.data_files import Format
from gatewise.vocab.corpus.label_values import SEPARATOR
from gatewise.vocab.errors import ArgumentError, CorpusError, OutputError
from numpy.typing import NDArray

PROBABILITY_PREFIX = "probability_"
"""What the name of a column of probabilities begins with; the label is the rest of it."""

Column = Sequence[object] | NDArray[np.float32]
"""One column: labels or lists of them as they are, and scores as 32-bit numbers."""


@dataclass(frozen=True, slots=True)
class OutputColumns:
    """The columns of a classifier's answers in one table.

    Attributes:
        classes: The labels, in the order of the probabilities.
        thresholds: The classifier's; None where a text has exactly one label.
        label_column: Column of the best label, or of the list of labels.
        score_column: Column of its probability, or of theirs.
        top_k: How many labels. For a classifier of several labels a text, the length of the
            lists, whatever reaches its threshold; None for those that do. Else the second best
            has columns with `_2` at the end, and so on.
        probabilities: Whether each label has a column with its probability.
        as_text: Whether a list is written as a text, with `|` between its items.
    """

    classes: tuple[str, ...]
    thresholds: tuple[float, ...] | None
    label_column: str
    score_column: str
    top_k: int | None
    probabilities: bool
    as_text: bool

    @classmethod
    def among(
        cls,
        classifier: Classifier,
        columns: Iterable[str],
        source: str,
        form: Format,
        *,
        top_k: int | None = None,
        probabilities: bool = False,
    ) -> "OutputColumns":
        """Finds names that the input's own columns leave free.

        Args:
            classifier: The model.
            columns: The input's columns.
            source: The input, for messages.
            form: The output's; CSV and TSV hold no lists.
            top_k: How many labels a text is given; no more than there are.
            probabilities: Whether each label gets a column of its own.

        Raises:
            CorpusError: The input has a column of that name already.
            OutputError: A label cannot be written in that format.
            ArgumentError: `top_k` is less than 1.
        """
        if top_k is not None and top_k < 1:
            raise ArgumentError(
                f"top_k: expected one label at least, received {top_k}", option="top_k"
            )
        as_text = form in (Format.CSV, Format.TSV)
        if classifier.multi_label and as_text:
            for label in classifier.classes_:
                if SEPARATOR in label:
                    raise OutputError(
                        f"the label {label!r} holds {SEPARATOR!r}, which stands between labels in "
                        "a cell: write .jsonl or .parquet instead"
                    )
        classes, taken = tuple(classifier.classes_), set(columns)
        pair = ("labels", "scores") if classifier.multi_label else ("label", "score")
        plain = cls(
            classes,
            classifier.thresholds,
            *pair,
            None if top_k is None else min(top_k, len(classes)),
            probabilities,
            as_text,
        )
        careful = replace(
            plain, label_column=f"predicted_{pair[0]}", score_column=f"predicted_{pair[1]}"
        )
        answers = careful if {name for pair in plain.pairs for name in pair} & taken else plain
        if known := sorted(set(answers.names) & taken):
            raise CorpusError(
                f"{source}: the column {known[0]!r} exists already, and the answers need one of "
                "that name; rename it"
            )
        return answers

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The columns of a label and of its score, the best one's first."""
        first = (self.label_column, self.score_column)
        more = 1 if self.thresholds is not None or self.top_k is None else self.top_k
        return (
            first,
            *((f"{first[0]}_{place}", f"{first[1]}_{place}") for place in range(2, more + 1)),
        )

    @property
    def fields(self) -> tuple[pa.Field, ...]:
        """The columns with their types, in order."""
        label, score = pa.string(), pa.float32()
        if self.thresholds is not None:
            label, score = pa.list_(label), pa.list_(score)
        every = self.classes if self.probabilities else ()
        return (
            *(
                pa.field(name, kind)
                for pair in self.pairs
                for name, kind in zip(pair, (label, score), strict=True)
            ),
            *(pa.field(PROBABILITY_PREFIX + name, pa.float32()) for name in every),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(field.name for field in self.fields)

    def columns(
        self, probabilities: NDArray[np.float32], none: Sequence[str | None]
    ) -> list[Column]:
        """What the columns hold.

        Args:
            probabilities: float32, shape `(rows, labels)`.
            none: What each row is given instead of a label, or None.

        Returns:
            Each column's values, in the order of `names`.
        """
        every = list(probabilities.T) if self.probabilities else []
        if self.thresholds is None:
            return [*self._ranked(probabilities, none), *every]
        return [*self._reached(probabilities, self.thresholds), *every]

    def _ranked(
        self, probabilities: NDArray[np.float32], none: Sequence[str | None]
    ) -> list[Column]:
        most = self.top_k or 1
        if most == 1:
            order = probabilities.argmax(axis=1)[:, None]
        else:
            order = np.argsort(-probabilities, axis=1, kind="stable")[:, :most]
        labels = np.array(self.classes, dtype=np.object_)[order]
        scores = np.take_along_axis(probabilities, order, axis=1)
        # What stands instead of a label comes first, with the score of the best, and counts.
        for row, instead in enumerate(none):
            if instead is not None:
                labels[row] = [instead, *labels[row, :-1]]
                scores[row] = [scores[row, 0], *scores[row, :-1]]
        return [
            column
            for place in range(most)
            for column in (labels[:, place].tolist(), scores[:, place])
        ]

    def _reached(
        self, probabilities: NDArray[np.float32], thresholds: Sequence[float]
    ) -> list[Column]:
        reached = None if self.top_k else thresholds
        found = [ranked(self.classes, row, self.top_k, thresholds=reached) for row in probabilities]
        labels = [[label for label, _ in row] for row in found]
        scores = [[score for _, score in row] for row in found]
        if self.as_text:
            return [list(map(SEPARATOR.join, labels)), [_joined(row) for row in scores]]
        return [labels, scores]


def _joined(scores: Sequence[float]) -> str:
    return SEPARATOR.join(map(str, scores))
