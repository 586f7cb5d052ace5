"""The confusion matrix of a report: the choice and order of its labels, and its cells.

Up to `FEW` labels keep their order. Of more, labels that are confused with each other become
neighbours, so that groups show as blocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from gatewise.training.evaluation.error_analysis import Confused, ErrorAnalysis, LabelCounts

FEW = 20
"""Up to this many labels the matrix is a table of numbers."""

MAX_LABELS = 160
"""Of more labels, those with the most mistakes are shown."""


@dataclass(frozen=True)
class Cell:
    """The rows of one label for which one label, perhaps the same, was predicted.

    Attributes:
        row: Index of the true label.
        column: Index of the predicted label.
        right: The true label.
        given: The predicted label.
        rows: Number of rows.
        share: Their share of the true label's rows.
    """

    row: int
    column: int
    right: str
    given: str
    rows: int
    share: float

    @property
    def is_hit(self) -> bool:
        """Whether the predicted label is the true one."""
        return self.row == self.column


@dataclass(frozen=True)
class Matrix:
    """The confusion matrix of a single-label task.

    Attributes:
        labels: The labels shown, in order.
        of: Number of all labels.
        cells: The cells with at least one row, by row and column.
    """

    labels: tuple[str, ...]
    of: int
    cells: tuple[Cell, ...]

    @property
    def is_small(self) -> bool:
        """Whether it is shown as a table of numbers."""
        return len(self.labels) <= FEW

    def grid(self) -> list[list[Cell | None]]:
        """Every cell, row by row; None for an empty one."""
        grid: list[list[Cell | None]] = [[None] * len(self.labels) for _ in self.labels]
        for cell in self.cells:
            grid[cell.row][cell.column] = cell
        return grid


def matrix(reviewed: ErrorAnalysis) -> Matrix:
    """The matrix of a single-label task."""
    return matrix_of(reviewed.labels, reviewed.confused)


def matrix_of(labels: Sequence[LabelCounts], confused: Sequence[Confused]) -> Matrix:
    """The matrix of a single-label task, from the counts of its labels and of confused pairs."""
    counts = {each.label: each for each in labels}
    shown = sorted(counts)
    if len(shown) > MAX_LABELS:
        shown = sorted(shown, key=lambda label: (-_mistakes(counts[label]), label))[:MAX_LABELS]
    table = np.zeros((len(shown), len(shown)), dtype=np.int64)
    places = {label: place for place, label in enumerate(shown)}
    for label, place in places.items():
        table[place, place] = counts[label].hits
    for pair in confused:
        if pair.right in places and pair.given in places:
            table[places[pair.right], places[pair.given]] = pair.rows
    totals = np.array([counts[label].hits + counts[label].missed for label in shown])
    shares = table / np.maximum(totals, 1)[:, None]
    order = np.arange(len(shown)) if len(shown) <= FEW else _by_similarity(shares)
    table, shares = table[np.ix_(order, order)], shares[np.ix_(order, order)]
    names = tuple(shown[place] for place in order.tolist())
    cells = tuple(
        Cell(row, column, names[row], names[column], int(rows), float(shares[row, column]))
        for (row, column), rows in np.ndenumerate(table)
        if rows
    )
    return Matrix(labels=names, of=len(counts), cells=cells)


def _mistakes(counts: LabelCounts) -> int:
    return counts.missed + counts.wrong


def _by_similarity(shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Orders labels so that those confused with each other are neighbours (average linkage).

    Args:
        shares: Share of each true label's rows by predicted label, `(labels, labels)`.
    """
    similarity = shares + shares.T
    np.fill_diagonal(similarity, 0)
    distance = 1 - similarity / max(similarity.max(), 1)
    np.fill_diagonal(distance, 0)
    order: NDArray[np.int64] = leaves_list(linkage(squareform(distance), "average"))
    return order
