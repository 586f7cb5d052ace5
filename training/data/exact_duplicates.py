"""Rows with the same text, grouped by the hash of the text.

Parts are numbers here, and a set of parts is a number with a bit for each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pair = tuple[int, int]
"""Two rows, by their numbers among all rows."""


@dataclass(frozen=True, eq=False)
class ExactDuplicates:
    """Which rows have the same text.

    Attributes:
        text_of: The number of each row's text, `(rows,)`; texts are numbered by their first row.
        leading: Which rows are the first row with their text, `(rows,)`.
        parts: In which parts each text occurs, `(texts,)`.
        ranges: The rows of each part.
    """

    text_of: NDArray[np.int32]
    leading: NDArray[np.bool_]
    parts: NDArray[np.uint8]
    ranges: tuple[slice, ...]

    def found_in(self, part: int, other: int) -> NDArray[np.bool_]:
        """Which rows of a part are in another part, or repeat an earlier row of their own."""
        texts = self.text_of[self.ranges[part]]
        if part != other:
            return self.parts[texts] & (1 << other) != 0
        return self._first(part)[texts] != np.arange(len(texts))

    def row_of(self, text: int, part: int) -> int:
        """The first row of a part with a text that occurs in it."""
        rows = self.ranges[part]
        return rows.start + int(np.argmax(self.text_of[rows] == text))

    def pairs(self, part: int, other: int, limit: int) -> list[Pair]:
        """The first rows of a part that `found_in` finds, each with its duplicate."""
        texts = self.text_of[self.ranges[part]]
        rows = np.flatnonzero(self.found_in(part, other))
        if part == other:
            places = np.unique(texts[rows], return_index=True)[1]
            rows = np.sort(rows[places])[:limit]
            return [(self.row_of(int(texts[row]), part), self._row(part, row)) for row in rows]
        rows = rows[self._first(part)[texts[rows]] == rows][:limit]
        return [(self._row(part, row), self.row_of(int(texts[row]), other)) for row in rows]

    def conflicts(self, labels: NDArray[np.uint32], limit: int) -> tuple[int, list[Pair]]:
        """How many rows share their text with a row of another label, and the first such pairs.

        Args:
            labels: A hash of each row's label, `(rows,)`.
            limit: How many pairs are returned, one of each text.
        """
        label_of = np.empty(len(self.parts), dtype=np.uint32)
        label_of[self.text_of[self.leading]] = labels[self.leading]
        differing = np.flatnonzero(label_of[self.text_of] != labels)
        texts, places = np.unique(self.text_of[differing], return_index=True)
        disputed = np.zeros(len(self.parts), dtype=np.bool_)
        disputed[texts] = True
        pairs = [
            (int(np.argmax(self.text_of == text)), int(differing[place]))
            for text, place in zip(texts[:limit], places[:limit], strict=True)
        ]
        return int(np.count_nonzero(disputed[self.text_of])), pairs

    def _first(self, part: int) -> NDArray[np.int32]:
        """The first row of the part that each text has, counted from its start, `(texts,)`."""
        texts = self.text_of[self.ranges[part]]
        first = np.zeros(len(self.parts), dtype=np.int32)
        # Where an index repeats, the last value stays: that of the first row.
        first[texts[::-1]] = np.arange(len(texts), dtype=np.int32)[::-1]
        return first

    def _row(self, part: int, row: np.int64) -> int:
        return self.ranges[part].start + int(row)


def group(hashes: NDArray[np.uint64], ends: Sequence[int]) -> ExactDuplicates:
    """Groups rows by their text.

    Args:
        hashes: The hash of each row's text, `(rows,)`.
        ends: The number of the row after the last one of each part, in the order of the parts.
    """
    # Stable, so that the first row of each text is the first in its group.
    order = np.argsort(hashes, kind="stable").astype(np.int32)
    ordered = hashes[order]
    opens = np.ones(len(order), dtype=np.bool_)
    opens[1:] = ordered[1:] != ordered[:-1]
    del ordered
    leading = np.zeros(len(order), dtype=np.bool_)
    leading[order[opens]] = True
    numbers = np.cumsum(leading, dtype=np.int32) - np.int32(1)
    sizes = np.diff(np.flatnonzero(opens), append=len(order))
    text_of = np.empty(len(order), dtype=np.int32)
    text_of[order] = np.repeat(numbers[order[opens]], sizes)
    ranges = tuple(slice(*limits) for limits in zip([0, *ends][:-1], ends, strict=True))
    parts = np.zeros(np.count_nonzero(leading), dtype=np.uint8)
    for part, rows in enumerate(ranges):
        parts[text_of[rows]] |= np.uint8(1 << part)
    return ExactDuplicates(text_of, leading, parts, ranges)
