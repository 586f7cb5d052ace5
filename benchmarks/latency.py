"""How long one text takes: Gatewise's ONNX, Keras's own ONNX export, and Keras itself.

One run times every way in turn with the others, after checking that they give the same logits.
Owns the measuring and its table; what is measured is in `ways`.
"""

import itertools
import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import numpy as np
import turns
import typer
from gatewise.training.config.network_section import Cell
from rich import box
from rich.console import Console
from rich.table import Table
from subjects import DEFAULT
from ways import (
    EXPORT,
    OURS,
    PREDICT,
    DisagreementError,
    Way,
    check_agreement,
    size,
    ways_of,
)

TARGETS = {EXPORT: 5.0, PREDICT: 100.0}  # how many times faster than these Gatewise is to be
PACKAGES = ("keras", "numpy", "onnxruntime", "tf2onnx")


@dataclass(frozen=True)
class Row:
    """What was measured of one way; a round's milliseconds are the median of its calls.

    Attributes:
        network: Which network answers.
        name: What answers.
        nodes: Nodes of the ONNX graph.
        loop_nodes: Nodes inside its loops, which are run at every token.
        median_ms: Median of the rounds.
        lower_ms: Lower quartile of the rounds.
        upper_ms: Upper quartile of the rounds.
        times_ours: Median over that of Gatewise's ONNX for the same network.
    """

    network: str
    name: str
    nodes: int | None
    loop_nodes: int | None
    median_ms: float
    lower_ms: float
    upper_ms: float
    times_ours: float


def measure(ways: Sequence[Way], repeats: int, calls: int = turns.CALLS) -> list[Row]:
    """Times the ways in turn.

    Args:
        ways: What to time.
        repeats: Rounds; in each, every way is called, each time beginning with another way.
        calls: Calls of each way in each round.
    """
    rounds = turns.take([turns.by_clock(way.run) for way in ways], repeats, calls)
    medians = [statistics.median(times) for times in rounds]
    ours = {w.network: m for w, m in zip(ways, medians, strict=True) if w.name == OURS}
    rows = []
    for way, median, times in zip(ways, medians, rounds, strict=True):
        nodes, inside = size(way.graph) if way.graph else (None, None)
        lower, upper = map(float, np.quantile(times, (0.25, 0.75)))
        ratio = median / ours[way.network]
        rows.append(Row(way.network, way.name, nodes, inside, median, lower, upper, ratio))
    return rows


def report(rows: Sequence[Row]) -> Table:
    """The rows of one network as a table."""
    table = Table(title=rows[0].network, title_justify="left", box=box.SIMPLE)
    for heading in ("what", "nodes", "in loops", "ms", "quartiles", "ratio"):
        left = heading == "what"
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.name,
            "" if row.nodes is None else str(row.nodes),
            "" if row.loop_nodes is None else str(row.loop_nodes or "no loop"),
            _digits(row.median_ms),
            f"{_digits(row.lower_ms)}–{_digits(row.upper_ms)}",
            f"{row.times_ours:.1f}",
        )
    return table


def _digits(milliseconds: float) -> str:
    return f"{milliseconds:.3f}" if milliseconds < 10 else f"{milliseconds:.1f}"


def main(
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 15,
    tokens: Annotated[int, typer.Option(min=2, max=256, help="Tokens of the text.")] = 40,
    cell: Annotated[Cell, typer.Option(help="The recurrent cell.")] = "lstm",
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False,
) -> None:
    """Time one text: Gatewise's ONNX, Keras's own ONNX export, and Keras."""
    if find_spec("tf2onnx") is None:
        typer.echo('Error: tf2onnx is missing: pip install "gatewise[benchmark]"', err=True)
        raise typer.Exit(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            ways = ways_of(cell, tokens, Path(folder))
            difference = check_agreement(ways)
            rows = measure(ways, repeats)
    except DisagreementError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
    reached = {row.name: row.times_ours for row in rows if row.network == DEFAULT}
    if as_json:
        document = {
            "cell": cell,
            "tokens": tokens,
            "repeats": repeats,
            "largest_difference": difference,
            "versions": {package: version(package) for package in PACKAGES},
            "rows": [asdict(row) for row in rows],
            "targets": {
                name: {"times": times, "received": reached[name], "met": reached[name] >= times}
                for name, times in TARGETS.items()
            },
        }
        typer.echo(json.dumps(document))
        return
    console = Console()
    console.print(f"One text of {tokens} tokens, {cell}, {repeats} rounds: medians of them.")
    for _, group in itertools.groupby(rows, key=lambda row: row.network):
        console.print(report(list(group)))
    console.print(f"Logits agree: the largest difference is {difference:.1e}.")
    for name, times in TARGETS.items():
        met = "met" if reached[name] >= times else "not met"
        console.print(f"{times:g} times faster than {name}: {met} ({reached[name]:.1f})")


if __name__ == "__main__":
    typer.run(main)
