"""What `gatewise explain` prints: a label, and the tokens of the text with their shares."""

from typing import TYPE_CHECKING

from rich.table import Table

from gatewise.console.output import print_json, print_plainly
from gatewise.printable import printable

if TYPE_CHECKING:
    from gatewise.explained_text import ExplainedText


def show_explanation(explained: "ExplainedText", *, as_json: bool) -> None:
    """Prints one explanation; its tokens are in the order of the text."""
    if as_json:
        print_json(explained.as_dict())
        return
    cut = "; the text is longer than the model reads" if explained.truncated else ""
    print_plainly(printable(f"{explained.label} {explained.probability:.4g}{cut}"))
    table = Table("token")
    table.add_column("share", justify="right")
    for token in explained.tokens:
        table.add_row(printable(token.text), f"{token.share:+.4g}")
    print_plainly(table)
