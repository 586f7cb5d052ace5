"""The page of an audit: doubtful rows, copies with other labels, confused labels, leakage.

It is made of the pieces of a training report, and like it loads nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gatewise.training.data.corpora import Copy
from gatewise.training.data.duplicates import Duplicates
from gatewise.training.evaluation.error_analysis import Confused, LabelCounts
from gatewise.training.report.confusion_matrix import matrix_of
from gatewise.training.report.page import MAX_PAIRS, TEXT_SHOWN, environment, inline_files

if TYPE_CHECKING:
    from gatewise.training.labelling.audit import AuditedRow

_SUSPECTS_FIRST, _SUSPECTS_SHOWN = 20, 500
"""Doubtful rows shown before anything is unfolded, and in all; every row is in the CSV."""

_CONFLICTS_SHOWN = 100

_INSEPARABLE = 0.25
"""Share of the rows of two labels that are given the other one, from which they are reported."""


@dataclass(frozen=True)
class AuditContents:
    """What the page shows; see `gatewise.training.labelling.audit.Audit`.

    Attributes:
        rows: The number of rows.
        multi_label: Whether a text may have several labels.
        suspects: The doubtful rows.
        labels: The held-out predictions of each label.
        confused: The pairs of labels that were confused.
        duplicates: The texts that occur more than once.
        conflicts: Copies with different labels.
        copies: Other examples of copies.
        single: Labels with a single row.
        rejection: There is none; the pieces of the report ask for it.
    """

    rows: int
    multi_label: bool
    suspects: "Sequence[AuditedRow]"
    labels: Sequence[LabelCounts]
    confused: Sequence[Confused]
    duplicates: Duplicates
    conflicts: Sequence[Copy]
    copies: Sequence[Copy]
    single: Sequence[str]
    rejection: None = None

    @property
    def mistaken_rows(self) -> int:
        """Rows of a single-label task that were given another label than theirs."""
        return sum(each.missed for each in self.labels)


def audit_page(contents: AuditContents) -> str:
    """The audit as HTML; the same contents give the same bytes."""
    templates = environment()
    counts = {each.label: each.hits + each.missed for each in contents.labels}
    return templates.get_template("audit.html").render(
        contents=contents,
        reviewed=contents,
        matrix=None if contents.multi_label else matrix_of(contents.labels, contents.confused),
        confused=contents.confused[:MAX_PAIRS],
        label_rows=counts,
        inseparable=inseparable(contents.labels, contents.confused),
        suspects=contents.suspects[:_SUSPECTS_SHOWN],
        suspects_first=_SUSPECTS_FIRST,
        conflicts=contents.conflicts[:_CONFLICTS_SHOWN],
        text_shown=TEXT_SHOWN,
        **inline_files(templates),
    )


def inseparable(
    labels: Sequence[LabelCounts], confused: Sequence[Confused]
) -> list[tuple[str, str, float]]:
    """Pairs of labels that a classifier cannot tell apart, and the share of their rows confused.

    >>> counts = [LabelCounts("a", 6, 4, 2), LabelCounts("b", 8, 2, 4)]
    >>> inseparable(counts, [Confused("a", "b", 4), Confused("b", "a", 2)])
    [('a', 'b', 0.3)]

    Args:
        labels: The counts of each label.
        confused: The rows of one label that were given another.
    """
    rows = {each.label: each.hits + each.missed for each in labels}
    wrong = {(pair.right, pair.given): pair.rows for pair in confused}
    touched = sorted({tuple(sorted(pair)) for pair in wrong})
    shares = [
        (one, other, (wrong.get((one, other), 0) + wrong.get((other, one), 0)) / total)
        for one, other in touched
        if (total := rows[one] + rows[other])
    ]
    found = [pair for pair in shares if pair[2] >= _INSEPARABLE]
    return sorted(found, key=lambda pair: (-pair[2], pair))
