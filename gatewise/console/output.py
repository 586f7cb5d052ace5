"""Printing to the terminal: plain text to standard output or standard error, JSON on one line."""

import json
import sys
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from rich.table import Table


def print_plainly(what: "str | Table", *, err: bool = False) -> None:
    """Prints text or a table as it is: a label may be called `[b]` or `:smile:`."""
    console = Console(stderr=err, markup=False, emoji=False, highlight=False, soft_wrap=True)
    console.print(what)


def print_json(document: object, *, err: bool = False) -> None:
    """Prints a document as one line of JSON."""
    stream = sys.stderr if err else sys.stdout
    stream.write(json.dumps(document, ensure_ascii=False) + "\n")


def print_progress(console: Console, line: str) -> None:
    """Prints a line of progress above the bar, or by itself where there is no terminal."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)
