"""What `gatewise check` prints: the rows of each part, and every finding."""

from typing import TYPE_CHECKING

from rich.table import Table

from gatewise.console.output import print_json, print_plainly
from gatewise.printable import printable

if TYPE_CHECKING:
    from gatewise.training.data.corpus_findings import CorpusCheck

_LABELS_SHOWN = 40


def show_check(check: "CorpusCheck", *, as_json: bool) -> None:
    """Prints the rows of each label and the findings."""
    if as_json:
        print_json(check.as_dict())
        return
    for note in check.notes:
        print_plainly(printable(note))
    parts = check.survey.labels
    table = Table("label")
    for part in parts:
        table.add_column(part, justify="right")
    names = list(check.survey.training_rows())
    for name in names[:_LABELS_SHOWN]:
        table.add_row(printable(name), *(f"{rows[name]:,}" for rows in parts.values()))
    if len(names) > _LABELS_SHOWN:
        table.add_row(f"… and {len(names) - _LABELS_SHOWN} more, see --json")
    print_plainly(table)
    rows = ", ".join(f"{count:,} {part} rows" for part, count in check.survey.rows.items())
    print_plainly(f"{len(names):,} labels, {rows}")
    for found in check.findings:
        print_plainly(f"{found.severity}: {printable(str(found))}")
    if not check.findings:
        print_plainly("nothing found")
