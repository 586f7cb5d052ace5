"""How the cost of training grows: with rows, with the length of texts, with words and with labels.

One thing grows at a time, from a base that all have in common; every point is measured in a process
of its own. Owns the axes and the table; a point is measured in `growth_point`.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer
from growth_plot import draw
from growth_point import Cost, Point
from process import FailedError, last_line

Axis = Literal["rows", "tokens", "vocab", "classes"]

BASE = Point(rows=10_000, tokens=32, vocab=10_000, classes=10)
AXES: dict[Axis, tuple[int, ...]] = {
    "rows": (1_000, 10_000, 100_000, 1_000_000),
    "tokens": (8, 32, 128, 512, 2048),
    "vocab": (1_000, 10_000, 100_000, 1_000_000),
    "classes": (2, 10, 100, 1_000, 10_000),
}

HEAD = (
    "| what grows | to | texts/s | processor, ms a text | peak, MiB | parameters | "
    "first update, s |\n|---|--:|--:|--:|--:|--:|--:|"
)


@dataclass(frozen=True)
class Measured:
    """A point and what it cost.

    Attributes:
        axis: What grows.
        point: The point.
        cost: What it cost; None if it could not be measured.
        why: Why not.
    """

    axis: Axis
    point: Point
    cost: Cost | None
    why: str = ""

    @property
    def size(self) -> int:
        """How far it has grown."""
        size: int = getattr(self.point, self.axis)
        return size


def points(base: Point, axes: dict[Axis, tuple[int, ...]]) -> Iterator[tuple[Axis, Point]]:
    """Every point: one thing at a time, all others as in the base."""
    for axis, sizes in axes.items():
        for size in sizes:
            grown: dict[str, Any] = {axis: size}
            yield axis, replace(base, **grown)


def measure(axis: Axis, point: Point, patience: float) -> Measured:
    """Measures a point in a process of its own.

    Args:
        axis: What grows.
        point: The point.
        patience: Seconds after which the process is ended.
    """
    try:
        line = last_line("growth_point.py", [json.dumps(asdict(point))], patience)
    except FailedError as error:
        return Measured(axis, point, None, str(error))
    return Measured(axis, point, Cost(**json.loads(line)))


def in_markdown(measured: Measured) -> str:
    """A row of the table."""
    start = f"| {measured.axis} | {measured.size:,} |"
    cost = measured.cost
    if cost is None:
        return f"{start} {measured.why} | | | | |"
    return (
        f"{start} {cost.texts:,.0f} | {cost.processor_ms:.3f} | {cost.peak_mib:,.0f} | "
        f"{cost.parameters:,} | {cost.first_seconds:.1f} |"
    )


def main(
    only: Annotated[
        list[str] | None, typer.Option(help="Only what grows so: rows, tokens, vocab, classes.")
    ] = None,
    largest: Annotated[
        int | None, typer.Option(min=1, help="No point further out than this.")
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of every run.")
    ] = None,
    memory: Annotated[
        float | None, typer.Option(min=0.1, help="Most GiB of data that a process may take.")
    ] = None,
    patience: Annotated[float, typer.Option(min=1, help="Most seconds of a point.")] = 300,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the table, as .png or .svg, to this file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False,
) -> None:
    """Time updates as rows, lengths, the dictionary and the labels grow."""
    if unknown := set(only or ()) - set(get_args(Axis)):
        typer.echo(f"Error: --only {min(unknown)}: expected one of {', '.join(AXES)}", err=True)
        raise typer.Exit(2)
    base = replace(
        BASE,
        settings=tuple(assignments or ()),
        memory=None if memory is None else int(memory * 2**30),
    )
    axes = {
        axis: tuple(size for size in sizes if largest is None or size <= largest)
        for axis, sizes in AXES.items()
        if not only or axis in only
    }
    if not as_json:
        typer.echo(
            f"{base.rows:,} rows of {base.tokens} tokens, {base.vocab:,} words and {base.classes} "
            f"labels, but for what grows.\n\n{HEAD}"
        )
    table = []
    for axis, point in points(base, axes):
        table.append(measure(axis, point, patience))
        if not as_json:
            typer.echo(in_markdown(table[-1]))
    if as_json:
        rows = [{**asdict(row), "size": row.size} for row in table]
        typer.echo(json.dumps({"load": os.getloadavg()[2], "points": rows}))
    if plot is not None:
        curves = {
            axis: [(row.size, row.cost) for row in table if row.axis == axis and row.cost]
            for axis in axes
        }
        draw({axis: curve for axis, curve in curves.items() if curve}, plot)


if __name__ == "__main__":
    typer.run(main)
