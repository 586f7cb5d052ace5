"""Error analysis of a model on labelled rows: confusions, worst mistakes, lengths, reliability.

Rows come in windows with their logits, from `evaluate`. Counts and a fixed number of texts are
kept: memory grows with the labels and the confused pairs of labels, not with the rows.
"""

import heapq
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.input_encoding import InputCounter
from gatewise.service.model.scores import apply, shortest
from gatewise.training.evaluation.calibration import (
    Reliability,
    ReliabilityBin,
    error_of,
    predictions_of,
)
from gatewise.training.evaluation.evaluate import predicted
from gatewise.vocab.corpus.labels import Labels
from gatewise.vocab.tokenizer.coverage import CoverageCounter
from gatewise.vocab.tokenizer.encoded_rows import EncodedRow
from gatewise.vocab.tokenizer.encoding import without_mark

UNKNOWN_BINS = 20
"""Bins of the share of unknown tokens above zero; texts without any have a bin of their own."""

MISTAKES_KEPT = 50
"""Mistakes kept."""

TEXT_LENGTH = 2000
"""Characters kept of a mistake's text."""

_PAIRS_KEPT = 10_000
"""Pairs of labels kept, at most: those that are confused most often."""


@dataclass(frozen=True)
class Confused:
    """Rows of one label for which another was predicted.

    Attributes:
        right: The label that was missed.
        given: The wrong label that was predicted.
        rows: Number of rows; in a multi-label task a row counts for each such pair of labels.
    """

    right: str
    given: str
    rows: int


@dataclass(frozen=True)
class LabelCounts:
    """The predictions of one label.

    Attributes:
        label: Its name.
        hits: True positives: rows that have it and for which it was predicted.
        missed: False negatives: rows that have it and for which it was not predicted.
        wrong: False positives: rows that do not have it and for which it was predicted.
    """

    label: str
    hits: int
    missed: int
    wrong: int


@dataclass(frozen=True)
class Mistake:
    """A row whose predicted labels are not its own.

    Attributes:
        text: Its text; of a long one the first `TEXT_LENGTH` characters and an ellipsis.
        place: The name of its file and the line in it.
        right: Its labels.
        given: The predicted labels.
        label: The wrong label with the highest confidence.
        probability: The probability of that label.
        right_probability: The probability of the right label; None where a text may have several
            or has none.
    """

    text: str
    place: str
    right: tuple[str, ...]
    given: tuple[str, ...]
    label: str
    probability: float
    right_probability: float | None


@dataclass(frozen=True)
class LengthBin:
    """Texts whose number of ids lies between two bounds, both included."""

    first: int
    last: int
    texts: int


class ReadTexts:
    """What the analysis of some rows has of their texts, whatever the task.

    Attributes:
        rows: Rows analyzed.
        lengths: Texts by their number of ids, the begin mark included, from 0 on.
        truncated: Texts that were cut to the maximum length.
        unknown: Texts by the share of their tokens that are not in the dictionary, where a word
            in pieces is one: zero, then each of `UNKNOWN_BINS` equal bins from above 0 to 1.
    """

    rows: int
    lengths: tuple[int, ...]
    truncated: int
    unknown: tuple[int, ...]

    def length_bins(self, max_bins: int = 32) -> tuple[LengthBin, ...]:
        """The texts by their length in bins of equal width, from the shortest to the longest.

        Args:
            max_bins: Number of bins, at most.
        """
        occurring = [length for length, texts in enumerate(self.lengths) if texts]
        if not occurring:
            return ()
        shortest, longest = occurring[0], occurring[-1]
        width = -(-(longest - shortest + 1) // max_bins)
        return tuple(
            LengthBin(first, first + width - 1, sum(self.lengths[first : first + width]))
            for first in range(shortest, longest + 1, width)
        )


class TextCounter:
    """Counts texts by their length and by their unknown tokens; see `ReadTexts`.

    Args:
        coverage_counter: Counts the tokens that are in the dictionary, or missing numbers.
    """

    def __init__(self, coverage_counter: InputCounter) -> None:
        self._coverage_counter = coverage_counter
        self._truncated = 0
        self._lengths = np.zeros(0, dtype=np.int64)
        self._unknown = np.zeros(1 + UNKNOWN_BINS, dtype=np.int64)

    def add(self, rows: Sequence[EncodedRow]) -> None:
        """Adds the texts of a window of rows."""
        lengths = np.array([len(row.encoded.ids) for row in rows], dtype=np.int64)
        counts = np.bincount(lengths, minlength=len(self._lengths))
        counts[: len(self._lengths)] += self._lengths
        self._lengths = counts
        self._truncated += sum(row.encoded.truncated for row in rows)
        found = [self._coverage_counter.count([without_mark(row.encoded.ids)]) for row in rows]
        tokens, unknown = np.array([(each.tokens, each.unknown) for each in found]).T
        # Rounded up in whole numbers, so that 1 token of 20 falls into the first bin everywhere.
        bins = -(-unknown * UNKNOWN_BINS // np.maximum(tokens, 1))
        self._unknown += np.bincount(bins, minlength=1 + UNKNOWN_BINS)

    def counts(self) -> dict[str, Any]:
        """The attributes of `ReadTexts` but the number of rows."""
        return {
            "lengths": tuple(self._lengths.tolist()),
            "truncated": self._truncated,
            "unknown": tuple(self._unknown.tolist()),
        }


@dataclass(frozen=True)
class ErrorAnalysis(ReadTexts):
    """The result of an error analysis.

    Attributes:
        rows: Rows analyzed.
        multi_label: Whether a row may have several labels, or none.
        labels: The counts of each label, in the order of the model's outputs.
        confused: The pairs of labels that were confused, the most frequent first.
        mistaken_rows: Rows whose predicted labels are not exactly their own, those without a
            predicted label included.
        mistakes: The mistakes with the highest confidence, in descending order. In a single-label
            task, rows without a predicted label are not among them.
        lengths: Texts by their number of ids, the begin mark included, from 0 on.
        truncated: Texts that were cut to the maximum length.
        unknown: Texts by the share of their tokens that are not in the dictionary, where a word
            in pieces is one: zero, then each of `UNKNOWN_BINS` equal bins from above 0 to 1.
        trust: How often the best label is correct, by its probability, in bins of equal width; in
            a multi-label task, every label. Rows out of scope are left out.
    """

    rows: int
    multi_label: bool
    labels: tuple[LabelCounts, ...]
    confused: tuple[Confused, ...]
    mistaken_rows: int
    mistakes: tuple[Mistake, ...]
    lengths: tuple[int, ...]
    truncated: int
    unknown: tuple[int, ...]
    trust: tuple[ReliabilityBin, ...]

    @property
    def calibration_error(self) -> float:
        """Mean gap between probability and share of correct predictions, over all predictions."""
        return error_of(self.trust)

    def as_dict(self) -> dict[str, object]:
        """The analysis as a JSON object."""
        # A count for every length would be as long as the longest text.
        lengths = [asdict(found) for found in self.length_bins()]
        return {**asdict(self), "lengths": lengths, "calibration_error": self.calibration_error}


class ErrorAnalyzer:
    """Analyzes rows in windows; `add` is an `on_window` of `evaluate`.

    Args:
        labels: The labels in the order of the logits' columns.
        multi_label: Whether a text may have several of them, or none.
        thresholds: In a multi-label task, the probability from which on each label is predicted.
        min_probability: In a single-label task, the probability that the best label must reach to
            be predicted; None for any.
    """

    def __init__(
        self,
        labels: Sequence[str],
        multi_label: bool = False,
        thresholds: Sequence[float] | None = None,
        min_probability: float | None = None,
        coverage_counter: InputCounter | None = None,
    ) -> None:
        if multi_label != (thresholds is not None):
            raise ValueError("expected thresholds in a multi-label task, and there alone")
        self._names, self._multi_label = Labels(tuple(labels)), multi_label
        self._thresholds, self._min_probability = thresholds, min_probability
        self._texts = TextCounter(coverage_counter or CoverageCounter())
        count = len(self._names)
        self._hits, self._missed, self._wrong = np.zeros((3, count), dtype=np.int64)
        self._confused = csr_array((count, count), dtype=np.int64)
        self._mistakes = _WorstMistakes(self._names.names, multi_label=multi_label)
        self._mistaken_rows = self._rows = 0
        self._trust = Reliability()

    @classmethod
    def of(cls, classifier: Classifier) -> "ErrorAnalyzer":
        """An analyzer of a classifier's predictions."""
        minimum = classifier.reject.threshold if classifier.reject else None
        return cls(
            classifier.classes_,
            classifier.multi_label,
            classifier.thresholds,
            minimum,
            classifier.coverage_counter,
        )

    def add(self, rows: Sequence[EncodedRow], logits: NDArray[np.float32]) -> None:
        """Adds a window of rows.

        Args:
            rows: Rows encoded by the model, with labels of the model.
            logits: Their logits, `(rows, labels)`.
        """
        truth = self._names.matrix([row.row.labels for row in rows])
        given = predicted(logits, self._thresholds, self._min_probability)
        probabilities = apply("sigmoid" if self._multi_label else "softmax", logits)
        missed, wrong = truth & ~given, given & ~truth
        self._rows += len(rows)
        self._mistaken_rows += int(np.count_nonzero((truth != given).any(axis=1)))
        self._hits += (truth & given).sum(axis=0)
        self._missed += missed.sum(axis=0)
        self._wrong += wrong.sum(axis=0)
        self._confused += csr_array(missed.astype(np.int64)).T @ csr_array(wrong.astype(np.int64))
        self._mistakes.add(rows, probabilities, truth, given)
        # A row out of scope has no correct label for a probability to be measured against.
        in_scope = truth.any(axis=1) | self._multi_label
        self._trust.add(
            *predictions_of(probabilities[in_scope], truth[in_scope], multi_label=self._multi_label)
        )
        self._texts.add(rows)

    def result(self) -> ErrorAnalysis:
        """The analysis of the rows so far."""
        counts = zip(
            self._names.names,
            self._hits.tolist(),
            self._missed.tolist(),
            self._wrong.tolist(),
            strict=True,
        )
        return ErrorAnalysis(
            rows=self._rows,
            multi_label=self._multi_label,
            labels=tuple(LabelCounts(*found) for found in counts),
            confused=self._pairs(),
            mistaken_rows=self._mistaken_rows,
            mistakes=self._mistakes.worst(),
            **self._texts.counts(),
            trust=self._trust.bins(),
        )

    def _pairs(self) -> tuple[Confused, ...]:
        found = self._confused.tocoo()
        # By frequency, then in the order of the labels.
        order = np.lexsort((found.col, found.row, -found.data))[:_PAIRS_KEPT]
        names = self._names.names
        return tuple(
            Confused(names[right], names[given], count)
            for right, given, count in zip(
                found.row[order].tolist(),
                found.col[order].tolist(),
                found.data[order].tolist(),
                strict=True,
            )
        )


class _WorstMistakes:
    """The mistakes with the highest confidence; of two with the same, the first row.

    Args:
        labels: The labels in the order of the probabilities' columns.
        multi_label: Whether a text may have several of them, or none.
    """

    def __init__(self, labels: Sequence[str], *, multi_label: bool) -> None:
        self._labels, self._multi_label = tuple(labels), multi_label
        # (confidence, -number of the row, mistake): no two rows have the same number.
        self._heap: list[tuple[float, int, Mistake]] = []
        self._rows = 0

    def add(
        self,
        rows: Sequence[EncodedRow],
        probabilities: NDArray[np.float32],
        truth: NDArray[np.bool_],
        given: NDArray[np.bool_],
    ) -> None:
        """Adds a window of rows.

        Args:
            rows: The rows.
            probabilities: The probability of each label, `(rows, labels)`.
            truth: Which labels the rows have, of the same shape.
            given: Which labels were predicted, of the same shape.
        """
        # The confidence in a wrong prediction: that a label is there or, in a multi-label task,
        # that it is not.
        wrong_confidence = np.where(given & ~truth, probabilities, 0)
        if self._multi_label:
            missed = np.where(truth & ~given, 1 - probabilities, 0)
            wrong_confidence = np.maximum(wrong_confidence, missed)
        worst = wrong_confidence.argmax(axis=1)
        confidence = wrong_confidence[np.arange(len(rows)), worst]
        wrong = (given != truth).any(axis=1)
        if not self._multi_label:
            # A row without a predicted label is no confident mistake.
            wrong &= given.any(axis=1)
        if len(self._heap) == MISTAKES_KEPT:
            wrong &= confidence > self._heap[0][0]
        for index in np.flatnonzero(wrong).tolist():
            column = int(worst[index])
            mistake = Mistake(
                text=shown_text(rows[index].row.text),
                place=place_of(rows[index]),
                right=self._names(truth[index]),
                given=self._names(given[index]),
                label=self._labels[column],
                probability=shortest(probabilities[index, column]),
                right_probability=None
                if self._multi_label or not truth[index].any()
                else shortest(probabilities[index, truth[index].argmax()]),
            )
            entry = (float(confidence[index]), -(self._rows + index), mistake)
            if len(self._heap) < MISTAKES_KEPT:
                heapq.heappush(self._heap, entry)
            else:
                heapq.heappushpop(self._heap, entry)
        self._rows += len(rows)

    def worst(self) -> tuple[Mistake, ...]:
        """The mistakes, the highest confidence first."""
        return tuple(mistake for _, _, mistake in sorted(self._heap, reverse=True))

    def _names(self, chosen: NDArray[np.bool_]) -> tuple[str, ...]:
        return tuple(self._labels[index] for index in np.flatnonzero(chosen).tolist())


def shown_text(text: str) -> str:
    """The first `TEXT_LENGTH` characters of a text, with an ellipsis if there are more."""
    return text if len(text) <= TEXT_LENGTH else text[:TEXT_LENGTH] + "…"


def place_of(row: EncodedRow) -> str:
    """The name of a row's file and the line in it."""
    # Without the folder: the same run elsewhere gives the same report.
    location = row.row.location
    return f"{PurePath(location.file).name}, {location.place}"
