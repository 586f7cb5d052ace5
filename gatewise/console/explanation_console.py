"""What `gatewise explain` prints: a label, and the tokens of the text with their shares."""

from typing import TYPE_CHECKING

from rich.table import Table

from gatewise.console.output import print_json, print_plainly
from gatewise.printable import printable

if TYPE_CHECKING:
    from gatewise.explained_text import ExplainedText

_SMALL = 0.01
"""Shares below this have four digits instead of four decimals."""


def show_explanation(explained: "ExplainedText", *, as_json: bool) -> None:
    """Prints one explanation; its tokens are in the order of the text."""
    if as_json:
        print_json(explained.as_dict())
        return
    cut = "; the text is longer than the model reads" if explained.truncated else ""
    # The numbers of a regression may be small.
    largest = max((abs(token.share) for token in explained.tokens), default=0)
    kind = "g" if 0 < largest < _SMALL else "f"
    print_plainly(printable(f"{explained.label} {explained.probability:.4{kind}}{cut}"))
    table = Table("token")
    table.add_column("share", justify="right")
    for token in explained.tokens:
        table.add_row(printable(token.text), f"{token.share:+.4{kind}}")
    print_plainly(table)
