"""What `gatewise score` tells: how far it is, and in the end what became of the rows.

Knows how figures look and where they go; computes none but a rate.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from gatewise.console.console import print_json, print_plainly

if TYPE_CHECKING:
    from gatewise.service.scoring.summary import RowCounts, Summary

# How often a long run says how far it is, where there is no bar to look at.
_LINE_SECONDS = 30


@contextmanager
def scoring_progress() -> Iterator[Callable[["RowCounts", float | None], None]]:
    """Rows, rows a second and the time that is left; a line now and then when in a file."""
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    started = time.monotonic()
    first, told = 0, started
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("scoring", total=None)

        def on_progress(counts: "RowCounts", share: float | None) -> None:
            nonlocal first, told
            now = time.monotonic()
            first = first or counts.rows
            rate = (counts.rows - first) / max(now - started, 0.001)
            line = f"{counts.rows:,} rows, {rate:,.0f} rows/s"
            bar.update(
                task,
                description=line,
                completed=share or 0,
                total=None if share is None else 1,
            )
            if not console.is_terminal and now - told >= _LINE_SECONDS:
                told = now
                done = "" if share is None else f", {share:.0%} of the input"
                console.print(f"{line}{done}", highlight=False, markup=False, soft_wrap=True)

        yield on_progress


def show_summary(summary: "Summary", written_to: str, *, err: bool, as_json: bool) -> None:
    """What became of the rows of an input.

    Args:
        summary: What became of them.
        written_to: Where they went.
        err: Whether it is told on standard error, for the rows went to standard output.
        as_json: Whether it is told in JSON.
    """
    if as_json:
        print_json(asdict(summary), err=err)
        return
    rate = (summary.rows - summary.resumed) / summary.seconds if summary.seconds else 0.0
    resumed = f", {summary.resumed:,} by an earlier run" if summary.resumed else ""
    every = summary.probability_columns
    more = f", and one of probability_ for each of {every} labels," if every else ""
    print_plainly(
        f"{summary.rows:,} rows read{resumed}, {summary.scored:,} scored, "
        f"{summary.rejected:,} rejected, {summary.truncated:,} truncated; "
        f"{summary.seconds:.1f} s, {rate:,.0f} rows/s",
        err=err,
    )
    print_plainly(
        f"columns {summary.label_column} and {summary.score_column}{more} added; written to "
        f"{written_to}",
        err=err,
    )
