"""The columns that scoring adds: labels, scores, probabilities, or numbers with their interval."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import IntervalSettings
from gatewise.service.model.scores import NO_LABELS, predicted_numbers, ranked
from gatewise.vocab.corpus.columns import PROBABILITY_PREFIX
from gatewise.vocab.corpus.data_files import Format
from gatewise.vocab.corpus.label_values import SEPARATOR
from gatewise.vocab.errors import ArgumentError, CorpusError, OutputError

Column = Sequence[object] | NDArray[np.float32]
"""The values of a column: labels, lists of labels, or scores as float32."""


@dataclass(frozen=True, slots=True)
class OutputColumns:
    """The columns that scoring adds to a table."""

    classes: tuple[str, ...]  # the labels, in the order of the probabilities
    # The thresholds of the labels; None if a text has exactly one label.
    thresholds: tuple[float, ...] | None
    label_column: str  # the column of the best label, or of the list of labels
    score_column: str  # the column of its probability, or of the list of probabilities
    # The number of labels; None for the predicted ones. With several labels per text it is
    # the length of the lists. Otherwise the second best label has columns with the suffix
    # `_2`, and so on.
    top_k: int | None
    probabilities: bool  # whether each label has a column with its probability
    as_text: bool  # whether lists are written as text, separated by `|`

    @classmethod
    def for_input(
        cls,
        classifier: Classifier,
        columns: Iterable[str],
        source: str,
        output_format: Format,
        *,
        top_k: int | None = None,
        probabilities: bool = False,
    ) -> "OutputColumns | NumberColumns":
        """Chooses column names that the input does not use."""
        if classifier.task == "regression":
            for option, is_set in (("top_k", top_k is not None), ("probabilities", probabilities)):
                if is_set:
                    raise ArgumentError(NO_LABELS.format(option), option=option)
            numbers = NumberColumns(tuple(classifier.classes_), classifier.interval)
            _check_free(numbers.names, set(columns), source)
            return numbers
        if top_k is not None and top_k < 1:
            raise ArgumentError(
                f"top_k: expected one label at least, received {top_k}", option="top_k"
            )
        as_text = output_format in (Format.CSV, Format.TSV)
        if classifier.multi_label and as_text:
            for label in classifier.classes_:
                if SEPARATOR in label:
                    raise OutputError(
                        f"the label {label!r} contains {SEPARATOR!r}, which separates labels in a "
                        "cell: write .jsonl or .parquet instead"
                    )
        classes, used = tuple(classifier.classes_), set(columns)
        pair = ("labels", "scores") if classifier.multi_label else ("label", "score")
        short = cls(
            classes,
            classifier.thresholds,
            *pair,
            None if top_k is None else min(top_k, len(classes)),
            probabilities,
            as_text,
        )
        prefixed = replace(
            short, label_column=f"predicted_{pair[0]}", score_column=f"predicted_{pair[1]}"
        )
        output_columns = (
            prefixed if {name for pair in short.pairs for name in pair} & used else short
        )
        _check_free(output_columns.names, used, source)
        return output_columns

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The names of the label and score columns, those of the best label first."""
        first = (self.label_column, self.score_column)
        count = 1 if self.thresholds is not None or self.top_k is None else self.top_k
        return (
            first,
            *((f"{first[0]}_{rank}", f"{first[1]}_{rank}") for rank in range(2, count + 1)),
        )

    @property
    def fields(self) -> tuple[pa.Field, ...]:
        """The columns with their types, in order."""
        label, score = pa.string(), pa.float32()
        if self.thresholds is not None:
            label, score = pa.list_(label), pa.list_(score)
        probability_labels = self.classes if self.probabilities else ()
        return (
            *(
                pa.field(name, kind)
                for pair in self.pairs
                for name, kind in zip(pair, (label, score), strict=True)
            ),
            *(pa.field(PROBABILITY_PREFIX + name, pa.float32()) for name in probability_labels),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(field.name for field in self.fields)

    def columns(
        self, probabilities: NDArray[np.float32], none: Sequence[str | None]
    ) -> list[Column]:
        """The values of the columns, in the order of `names`."""
        further = list(probabilities.T) if self.probabilities else []
        if self.thresholds is None:
            return [*self._ranked(probabilities, none), *further]
        return [*self._reached(probabilities, self.thresholds), *further]

    def _ranked(
        self, probabilities: NDArray[np.float32], none: Sequence[str | None]
    ) -> list[Column]:
        count = self.top_k or 1
        if count == 1:
            order = probabilities.argmax(axis=1)[:, None]
        else:
            order = np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
        labels = np.array(self.classes, dtype=np.object_)[order]
        scores = np.take_along_axis(probabilities, order, axis=1)
        # The label of a rejected row comes first, with the best score, and counts towards top_k.
        for row, none_label in enumerate(none):
            if none_label is not None:
                labels[row] = [none_label, *labels[row, :-1]]
                scores[row] = [scores[row, 0], *scores[row, :-1]]
        return [
            column
            for rank in range(count)
            for column in (labels[:, rank].tolist(), scores[:, rank])
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


@dataclass(frozen=True, slots=True)
class NumberColumns:
    """The columns that scoring adds where the model predicts numbers.

    They are `prediction`, and the bounds of its interval, `low` and `high`, if there is one; of
    several numbers, these for each, followed by its name: `prediction_price`.
    """

    numbers: tuple[str, ...]
    interval: IntervalSettings | None

    @property
    def predictions(self) -> tuple[str, ...]:
        """The names of the columns of the numbers themselves."""
        return NumberColumns(self.numbers, None).names

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        no_rows = np.empty((0, len(self.numbers)), dtype=np.float32)
        return tuple(predicted_numbers(self.numbers, no_rows, self.interval))

    @property
    def fields(self) -> tuple[pa.Field, ...]:
        """The columns with their types, in order."""
        return tuple(pa.field(name, pa.float32()) for name in self.names)

    def columns(self, numbers: NDArray[np.float32], none: Sequence[str | None]) -> list[Column]:
        """The values of the columns, in the order of `names`; no text is rejected."""
        del none
        return [*predicted_numbers(self.numbers, numbers, self.interval).values()]


def _check_free(names: Iterable[str], used: set[str], source: str) -> None:
    """Checks that the input has no column of these names."""
    if conflicts := sorted(set(names) & used):
        raise CorpusError(
            f"{source}: the column {conflicts[0]!r} exists already, and scoring adds one of that "
            "name; rename it"
        )


def _joined(scores: Sequence[float]) -> str:
    return SEPARATOR.join(map(str, scores))
