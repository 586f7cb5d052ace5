"""What `gatewise score` prints: progress, and a summary of the rows at the end."""

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

from gatewise.console.output import print_json, print_plainly, print_progress

if TYPE_CHECKING:
    from gatewise.service.scoring.summary import RowCounts, Summary

# Seconds between lines of progress where there is no terminal for a bar.
_LINE_SECONDS = 30


@contextmanager
def scoring_progress() -> Iterator[Callable[["RowCounts", float | None], None]]:
    """A bar with rows, rows per second and time left; lines without a terminal."""
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
    first, last_line = 0, started
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("scoring", total=None)

        def on_progress(counts: "RowCounts", share: float | None) -> None:
            nonlocal first, last_line
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
            if not console.is_terminal and now - last_line >= _LINE_SECONDS:
                last_line = now
                done = "" if share is None else f", {share:.0%} of the input"
                print_progress(console, f"{line}{done}")

        yield on_progress


def show_summary(summary: "Summary", written_to: str, *, err: bool, as_json: bool) -> None:
    """Prints how many rows were read, scored, rejected and truncated.

    With `err` to standard error, because the rows went to standard output.
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
    columns = f"columns {summary.label_column} and {summary.score_column}{more}"
    if summary.score_column is None:
        columns = f"column {summary.label_column}, with its interval if the model has one,"
    print_plainly(f"{columns} added; written to {written_to}", err=err)
