"""The worst mistakes of a model: the rows that it got wrong and was surest of.

Keeps a fixed number of them, however many rows pass. Knows rows and probabilities, no model.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from gatewise.service.model.scores import shortest
from gatewise.vocab.tokenizer.encoded_rows import EncodedRow
from numpy.typing import NDArray

KEPT = 50
"""Mistakes kept."""

TEXT_LENGTH = 2000
"""Characters kept of a mistake's text."""


@dataclass(frozen=True)
class Mistake:
    """A row that was given other labels than it has.

    Attributes:
        text: Its text; of a long one the first `TEXT_LENGTH` characters and an ellipsis.
        place: Where the row stands: the name of its file and the line in it.
        right: The labels that it has.
        given: The labels that it was given.
        label: The label that the model was surest about and wrong.
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


class WorstMistakes:
    """The mistakes that the model was surest of; of two alike the one that came first.

    Args:
        labels: The labels in the order of the probabilities' columns.
        multi_label: Whether a text may have several of them, or none.
    """

    def __init__(self, labels: Sequence[str], *, multi_label: bool) -> None:
        self._labels, self._multi_label = tuple(labels), multi_label
        # (sureness, -number of the row, mistake): no two rows have the same number.
        self._heap: list[tuple[float, int, Mistake]] = []
        self._rows = 0

    def add(
        self,
        rows: Sequence[EncodedRow],
        probabilities: NDArray[np.float32],
        truth: NDArray[np.bool_],
        given: NDArray[np.bool_],
    ) -> None:
        """Takes a window of rows.

        Args:
            rows: The rows.
            probabilities: The probability of each label, `(rows, labels)`.
            truth: Which labels the rows have, of the same shape.
            given: Which labels they were given, of the same shape.
        """
        # How sure the model was of what is wrong: that a label is there or, where a text may
        # have several, that one is not.
        sure = np.where(given & ~truth, probabilities, 0)
        if self._multi_label:
            sure = np.maximum(sure, np.where(truth & ~given, 1 - probabilities, 0))
        worst = sure.argmax(axis=1)
        sureness = sure[np.arange(len(rows)), worst]
        wrong = (given != truth).any(axis=1)
        if not self._multi_label:
            # Where no label was given, the model was not sure of any.
            wrong &= given.any(axis=1)
        if len(self._heap) == KEPT:
            wrong &= sureness > self._heap[0][0]
        for index in np.flatnonzero(wrong).tolist():
            column = int(worst[index])
            mistake = Mistake(
                text=_shortened(rows[index].row.text),
                place=_place(rows[index]),
                right=self._names(truth[index]),
                given=self._names(given[index]),
                label=self._labels[column],
                probability=shortest(probabilities[index, column]),
                right_probability=None
                if self._multi_label or not truth[index].any()
                else shortest(probabilities[index, truth[index].argmax()]),
            )
            entry = (float(sureness[index]), -(self._rows + index), mistake)
            if len(self._heap) < KEPT:
                heapq.heappush(self._heap, entry)
            else:
                heapq.heappushpop(self._heap, entry)
        self._rows += len(rows)

    def worst(self) -> tuple[Mistake, ...]:
        """The mistakes, the surest first."""
        return tuple(mistake for _, _, mistake in sorted(self._heap, reverse=True))

    def _names(self, chosen: NDArray[np.bool_]) -> tuple[str, ...]:
        return tuple(self._labels[index] for index in np.flatnonzero(chosen).tolist())


def _shortened(text: str) -> str:
    return text if len(text) <= TEXT_LENGTH else text[:TEXT_LENGTH] + "…"


def _place(row: EncodedRow) -> str:
    # Without the folder: the same run elsewhere tells the same.
    location = row.row.location
    return f"{PurePath(location.file).name}, {location.place}"
