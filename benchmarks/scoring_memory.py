"""How much memory scoring takes, and that it does not grow with the rows.

Scores a corpus again and again, as a folder of many files, in a process of its own, and prints its
peak of memory in each million rows. Owns the table and what is called flat.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import scoring_inputs
import typer
from gatewise.service.threads import available_cpus
from gatewise.vocab.errors import GatewiseError
from process import FailedError, last_line
from scoring_memory_point import Point

HEAD = "| rows | rows/s | peak, MiB | PSS then, MiB |\n|--:|--:|--:|--:|"
_GROWTH = 0.02  # share by which the second half's highest peak may be above the first half's
_MIB = 2**20


@dataclass(frozen=True)
class Verdict:
    """What the looks come to.

    Attributes:
        largest: The highest peak of all, in bytes, with what it took to deliver the output.
        early: The highest peak of the first half of the rows, without the first look.
        late: The highest peak of the second half.
    """

    largest: int
    early: int
    late: int

    @property
    def flat(self) -> bool:
        """Whether the second half took no more than the first, and the least bit of noise."""
        return self.late <= self.early * (1 + _GROWTH)


def verdict(points: Sequence[Point]) -> Verdict:
    """Judges the looks at a process; the last one is after the output was delivered.

    Raises:
        GatewiseError: If there are too few to be judged.
    """
    # Until the first look caches fill and allocators take what the longest texts need.
    warm = [point.peak for point in points[1:-1]]
    if len(warm) < 2:
        raise GatewiseError(
            f"expected 4 looks at least, received {len(points)}: score more rows, or look more "
            "often with --every"
        )
    half = len(warm) // 2
    return Verdict(max(point.peak for point in points), max(warm[:half]), max(warm[half:]))


def in_markdown(points: Sequence[Point]) -> list[str]:
    """The rows of the table."""
    rows = []
    before = Point(0, 0.0, 0, 0)
    for number, point in enumerate(points, start=1):
        name, rate = "delivered", "–"
        if number < len(points):
            name = f"{point.rows:,}"
            rate = f"{(point.rows - before.rows) / (point.seconds - before.seconds):,.0f}"
        memory = f"{point.peak / _MIB:,.0f} | {point.pss / _MIB:,.0f}"
        rows.append(f"| {name} | {rate} | {memory} |")
        before = point
    return rows


def main(
    model: Annotated[Path, typer.Argument(help="A model folder.")],
    folder: Annotated[Path, typer.Option("--set-folder", help="Whose rows.")] = Path(
        "../shared/data/nsmc"
    ),
    rows: Annotated[int, typer.Option(min=1, help="Rows at least.")] = 10_000_000,
    every: Annotated[int, typer.Option(min=1, help="Rows between two looks.")] = 1_000_000,
    suffix: Annotated[str, typer.Option(help="Of the output: .csv, .jsonl.gz, .parquet.")] = ".csv",
    workers: Annotated[int | None, typer.Option(min=1, help="Cores to use.")] = None,
    scratch: Annotated[
        Path | None, typer.Option(help="Where output and input are put meanwhile.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False,
) -> None:
    """Score a corpus again and again, and tell whether memory grows by it."""
    workers = workers or available_cpus()
    try:
        with tempfile.TemporaryDirectory(dir=scratch) as name:
            source = scoring_inputs.corpus_of(folder)
            given = scoring_inputs.repeated([source], Path(name, "input"), rows)
            out = Path(name, f"out{suffix}")
            asked = [*map(str, (model.resolve(), given.folder, out, every, workers))]
            found = json.loads(last_line("scoring_memory_point.py", asked))
        points = [Point(**point) for point in found]
        judged = verdict(points)
    except (GatewiseError, FailedError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        document = {
            "set": folder.name,
            "rows": given.rows,
            "suffix": suffix,
            "workers": workers,
            "points": [asdict(point) for point in points],
            **asdict(judged),
            "flat": judged.flat,
        }
        typer.echo(json.dumps(document))
        return
    typer.echo(f"{folder.name}, {given.rows:,} rows to {suffix}, {workers} workers.\n\n{HEAD}")
    for line in in_markdown(points):
        typer.echo(line)
    flat = "Flat" if judged.flat else "Not flat"
    typer.echo(
        f"\nThe largest: {judged.largest / _MIB:,.0f} MiB. {flat}: "
        f"at most {judged.early / _MIB:,.0f} MiB in the first half of the rows, without the first "
        f"{every:,}, and {judged.late / _MIB:,.0f} MiB in the second."
    )


if __name__ == "__main__":
    typer.run(main)
