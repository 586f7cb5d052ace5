"""The confusion matrix as it is drawn: which labels, in which order, and the shade of each cell.

A few labels stand in their own order. Of many, those that are confused with each other are put
side by side, so that groups show as blocks. Knows counts, no page.
"""

from dataclasses import dataclass

import numpy as np
from gatewise.training.evaluation.error_analysis import ErrorAnalysis, LabelCounts
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

FEW = 20
"""Up to so many labels the matrix is a table with its numbers in it."""

SHOWN = 160
"""Most labels of a matrix; of more, those that most often go wrong."""


@dataclass(frozen=True)
class Cell:
    """One cell: rows of one label that were given one label, perhaps the same.

    Attributes:
        row: Place of the right label.
        column: Place of the given label.
        right: The right label.
        given: The given label.
        rows: How many rows.
        share: Share of the right label's rows.
    """

    row: int
    column: int
    right: str
    given: str
    rows: int
    share: float

    @property
    def is_hit(self) -> bool:
        """Whether the label that was given is the right one."""
        return self.row == self.column


@dataclass(frozen=True)
class Matrix:
    """The confusion matrix of a single-label task.

    Attributes:
        labels: The labels in the order in which they are drawn.
        of: Number of all labels.
        cells: The cells that hold a row at least, by row and column.
    """

    labels: tuple[str, ...]
    of: int
    cells: tuple[Cell, ...]

    @property
    def is_small(self) -> bool:
        """Whether it is readable with its numbers."""
        return len(self.labels) <= FEW

    def grid(self) -> list[list[Cell | None]]:
        """Every cell, row by row; None where there is no row."""
        grid: list[list[Cell | None]] = [[None] * len(self.labels) for _ in self.labels]
        for cell in self.cells:
            grid[cell.row][cell.column] = cell
        return grid


def matrix(reviewed: ErrorAnalysis) -> Matrix:
    """Arranges the confusions of a review of a single-label task."""
    counts = {found.label: found for found in reviewed.labels}
    shown = sorted(counts)
    if len(shown) > SHOWN:
        shown = sorted(shown, key=lambda label: (-_mistakes(counts[label]), label))[:SHOWN]
    table = np.zeros((len(shown), len(shown)), dtype=np.int64)
    places = {label: place for place, label in enumerate(shown)}
    for label, place in places.items():
        table[place, place] = counts[label].hits
    for pair in reviewed.confused:
        if pair.right in places and pair.given in places:
            table[places[pair.right], places[pair.given]] = pair.rows
    totals = np.array([counts[label].hits + counts[label].missed for label in shown])
    shares = table / np.maximum(totals, 1)[:, None]
    order = np.arange(len(shown)) if len(shown) <= FEW else _by_likeness(shares)
    table, shares = table[np.ix_(order, order)], shares[np.ix_(order, order)]
    labels = tuple(shown[place] for place in order.tolist())
    cells = tuple(
        Cell(row, column, labels[row], labels[column], int(rows), float(shares[row, column]))
        for (row, column), rows in np.ndenumerate(table)
        if rows
    )
    return Matrix(labels=labels, of=len(counts), cells=cells)


def _mistakes(counts: LabelCounts) -> int:
    return counts.missed + counts.wrong


def _by_likeness(shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """An order in which labels that are confused with each other are neighbours.

    Args:
        shares: Share of each label's rows that were given each label, `(labels, labels)`.
    """
    likeness = shares + shares.T
    np.fill_diagonal(likeness, 0)
    distance = 1 - likeness / max(likeness.max(), 1)
    np.fill_diagonal(distance, 0)
    order: NDArray[np.int64] = leaves_list(linkage(squareform(distance), "average"))
    return order
