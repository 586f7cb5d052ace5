"""What a model does with labelled rows, looked at closely: confusions, mistakes, lengths, trust.

Takes windows of rows with their logits, as `evaluate` hands them out, and keeps counts and a fixed
number of texts: memory grows with the labels and with the pairs of them that are confused, not
with the rows. Does not import TensorFlow.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.scores import apply
from gatewise.training.evaluation.calibration import Reliability, ReliabilityBin, error_of, told_of
from gatewise.training.evaluation.evaluate import given as given_labels
from gatewise.training.evaluation.mistakes import Mistake, WorstMistakes
from gatewise.vocab.corpus.labels import Labels
from gatewise.vocab.tokenizer.encoded_rows import EncodedRow
from gatewise.vocab.tokenizer.tokenizer import UNKNOWN_ID
from numpy.typing import NDArray
from scipy.sparse import csr_array

UNKNOWN_BINS = 20
"""Bins of the share of unknown tokens above zero; texts without one are counted apart."""

_PAIRS_KEPT = 10_000
"""Most pairs of labels told of; of more, those that are confused most often."""


@dataclass(frozen=True)
class Confused:
    """Rows that should have had one label and were given another.

    Attributes:
        right: The label that was missed.
        given: The label that was given and is wrong.
        rows: How many rows; in a multi-label task a row counts for each such pair of its labels.
    """

    right: str
    given: str
    rows: int


@dataclass(frozen=True)
class LabelCounts:
    """What became of one label.

    Attributes:
        label: Its name.
        hits: Rows that have it and were given it.
        missed: Rows that have it and were not given it.
        wrong: Rows that were given it and do not have it.
    """

    label: str
    hits: int
    missed: int
    wrong: int


@dataclass(frozen=True)
class LengthBin:
    """Texts whose number of ids lies between two bounds, both included."""

    first: int
    last: int
    texts: int


@dataclass(frozen=True)
class Reviewed:
    """What a review found.

    Attributes:
        rows: Rows looked at.
        multi_label: Whether a row may have several labels, or none.
        labels: What became of each label, in the order of the model's outputs.
        confused: The pairs of labels that were confused, the most frequent first.
        mistaken_rows: Rows that were not given exactly their labels; a row that is given none and
            has one is among them.
        mistakes: Those of them that were given a label in a single-label task, or all, that the
            model was surest of, the surest first.
        lengths: Texts by their number of ids, the begin mark included, from 0 on.
        truncated: Texts that were cut to the maximum length.
        unknown: Texts by the share of their tokens that are not in the dictionary: none of them,
            then each of `UNKNOWN_BINS` equal bins from above 0 to 1.
        trust: How often the best label is right, by its probability, in bins of equal width; in a
            multi-label task, every label. Rows out of scope are not among them.
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

    def length_bins(self, most: int = 32) -> tuple[LengthBin, ...]:
        """The texts by their length in bins of equal width, from the shortest to the longest.

        Args:
            most: Most bins.
        """
        occurring = [length for length, texts in enumerate(self.lengths) if texts]
        if not occurring:
            return ()
        shortest, longest = occurring[0], occurring[-1]
        width = -(-(longest - shortest + 1) // most)
        return tuple(
            LengthBin(first, first + width - 1, sum(self.lengths[first : first + width]))
            for first in range(shortest, longest + 1, width)
        )

    @property
    def calibration_error(self) -> float:
        """Mean gap between probability and share of right predictions, over all predictions."""
        return error_of(self.trust)

    def as_dict(self) -> dict[str, object]:
        """The figures as a JSON object; the same review gives the same object."""
        # A count for every length would be as long as the longest text.
        lengths = [asdict(found) for found in self.length_bins()]
        return {**asdict(self), "lengths": lengths, "calibration_error": self.calibration_error}


class Review:
    """Looks at rows as they pass; `add` fits the `on_window` of `evaluate`.

    Args:
        labels: The labels in the order of the logits' columns.
        multi_label: Whether a text may have several of them, or none.
        thresholds: In a multi-label task, the probability from which on each label is given.
        least: In a single-label task, the probability that the best label must reach to be given;
            None for any.
    """

    def __init__(
        self,
        labels: Sequence[str],
        multi_label: bool = False,
        thresholds: Sequence[float] | None = None,
        least: float | None = None,
    ) -> None:
        if multi_label != (thresholds is not None):
            raise ValueError("expected thresholds in a multi-label task, and there alone")
        self._names, self._multi_label, self._thresholds = (
            Labels(tuple(labels)),
            multi_label,
            thresholds,
        )
        self._least = least
        count = len(self._names)
        self._hits, self._missed, self._wrong = np.zeros((3, count), dtype=np.int64)
        self._confused = csr_array((count, count), dtype=np.int64)
        self._mistakes = WorstMistakes(self._names.names, multi_label=multi_label)
        self._mistaken_rows = self._rows = self._truncated = 0
        self._lengths = np.zeros(0, dtype=np.int64)
        self._unknown = np.zeros(1 + UNKNOWN_BINS, dtype=np.int64)
        self._trust = Reliability()

    @classmethod
    def of(cls, classifier: Classifier) -> "Review":
        """A review of what a classifier will say."""
        least = classifier.reject.threshold if classifier.reject else None
        return cls(classifier.classes_, classifier.multi_label, classifier.thresholds, least)

    def add(self, rows: Sequence[EncodedRow], logits: NDArray[np.float32]) -> None:
        """Takes a window of rows.

        Args:
            rows: Rows encoded by the model, whose labels it knows.
            logits: What it says of them, `(rows, labels)`.
        """
        truth = self._names.matrix([row.row.labels for row in rows])
        given = given_labels(logits, self._thresholds, self._least)
        probabilities = apply("sigmoid" if self._multi_label else "softmax", logits)
        missed, wrong = truth & ~given, given & ~truth
        self._rows += len(rows)
        self._mistaken_rows += int(np.count_nonzero((truth != given).any(axis=1)))
        self._hits += (truth & given).sum(axis=0)
        self._missed += missed.sum(axis=0)
        self._wrong += wrong.sum(axis=0)
        self._confused += csr_array(missed.astype(np.int64)).T @ csr_array(wrong.astype(np.int64))
        self._mistakes.add(rows, probabilities, truth, given)
        # A row out of scope has no right label for a probability to be true of.
        asked = truth.any(axis=1) | self._multi_label
        told = told_of(probabilities[asked], truth[asked], multi_label=self._multi_label)
        self._trust.add(*told)
        self._add_texts(rows)

    def reviewed(self) -> Reviewed:
        """What was found in the rows so far."""
        counts = zip(
            self._names.names,
            self._hits.tolist(),
            self._missed.tolist(),
            self._wrong.tolist(),
            strict=True,
        )
        return Reviewed(
            rows=self._rows,
            multi_label=self._multi_label,
            labels=tuple(LabelCounts(*found) for found in counts),
            confused=self._pairs(),
            mistaken_rows=self._mistaken_rows,
            mistakes=self._mistakes.worst(),
            lengths=tuple(self._lengths.tolist()),
            truncated=self._truncated,
            unknown=tuple(self._unknown.tolist()),
            trust=self._trust.bins(),
        )

    def _add_texts(self, rows: Sequence[EncodedRow]) -> None:
        lengths = np.array([len(row.encoded.ids) for row in rows], dtype=np.int64)
        counts = np.bincount(lengths, minlength=len(self._lengths))
        counts[: len(self._lengths)] += self._lengths
        self._lengths = counts
        self._truncated += sum(row.encoded.truncated for row in rows)
        unknown = np.array([np.count_nonzero(row.encoded.ids[1:] == UNKNOWN_ID) for row in rows])
        # Rounded up in whole numbers, so that 1 token of 20 falls into the first bin everywhere.
        bins = -(-unknown * UNKNOWN_BINS // np.maximum(lengths - 1, 1))
        self._unknown += np.bincount(bins, minlength=1 + UNKNOWN_BINS)

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
