"""What `gatewise audit` prints: how many rows are doubtful, and the first of them."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from gatewise.console.output import print_plainly
from gatewise.printable import printable

if TYPE_CHECKING:
    from gatewise.training.labelling.audit import Audit

_SHOWN = 10
_TEXT_SHOWN = 60


def show_audit(audit: "Audit", folder: Path) -> None:
    """Prints the most doubtful rows, and where the others are."""
    suspects = audit.suspects
    if suspects:
        table = Table("row", "text", "label", "suggested")
        table.add_column("doubt", justify="right")
        for row in suspects[:_SHOWN]:
            cells = (
                row.place,
                row.text[:_TEXT_SHOWN],
                *map(" | ".join, (row.labels, row.suggested)),
            )
            table.add_row(*map(printable, cells), f"{row.score:.1%}")
        print_plainly(table)
    print_plainly(f"{len(suspects):,} of {len(audit.rows):,} rows may have a wrong label")
    print_plainly(f"{len(audit.conflicts):,} pairs of copies have different labels")
    print_plainly(printable(audit.duplicates.summary()))
    print_plainly(printable(f"{folder}: audit.html, and every row in rows.csv"))
