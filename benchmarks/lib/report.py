"""What a benchmark prints: tables in Markdown, or everything as one JSON object."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import typer

MIB = 2**20

Row = Mapping[str, Any]
"""Cells by their headings."""


def report(
    tables: Mapping[str, Sequence[Row]],
    *,
    facts: Row,
    verdicts: Mapping[str, bool] | None = None,
    as_json: bool,
) -> None:
    """Prints tables by their titles, what they were measured on, and which goals were met."""
    verdicts = verdicts or {}
    if as_json:
        typer.echo(json.dumps({**facts, **tables, "verdicts": verdicts}, ensure_ascii=False))
        return
    typer.echo(", ".join(f"{name}: {shown(value)}" for name, value in facts.items()))
    for title, rows in tables.items():
        typer.echo(f"\n{title}\n\n{markdown(rows)}")
    if verdicts:
        typer.echo("")
    for what, met in verdicts.items():
        typer.echo(f"{what}: {'met' if met else 'not met'}")


def markdown(rows: Sequence[Row]) -> str:
    """A table; columns of texts are aligned to the left, those of numbers to the right.

    >>> print(markdown([{"what": "predict", "ms": 0.1}]))
    | what | ms |
    |---|--:|
    | predict | 0.100 |
    """
    headings = list(dict.fromkeys(heading for row in rows for heading in row))
    left = [all(isinstance(row.get(each), str) for row in rows) for each in headings]
    lines = [
        f"| {' | '.join(headings)} |",
        f"|{'|'.join('---' if each else '--:' for each in left)}|",
    ]
    for row in rows:
        lines.append(f"| {' | '.join(shown(row.get(heading)) for heading in headings)} |")
    return "\n".join(lines)


def shown(value: object) -> str:
    """A value as a table shows it: three significant digits or all before the point."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    if 0 < abs(value) < 0.001:
        return f"{value:.1e}"
    decimals = next((n for n, least in enumerate((100, 10, 1)) if abs(value) >= least), 3)
    return f"{value:,.{decimals}f}"
