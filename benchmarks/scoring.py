"""How many rows a second go from strings to labels: Gatewise, its bound, and other classifiers.

Every way is ready in a process of its own and they take turns, each on the same cores. Owns the
rounds, the bound and the table; the ways are in `scoring_ways`.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import numpy as np
import scoring_inputs
import scoring_ways
import turns
import typer
from gatewise.service.scoring.ordered_pool import cores as all_cores
from gatewise.vocab.errors import GatewiseError
from in_node import NODE_MODULES
from process import FOLDER, FailedError
from scoring_ways import INFERENCE, STRINGS, TOKENIZING, WAYS, Given

BOUND = "the bound: tokenizing, then inference"
GOAL = 0.9
"""What share of the bound Gatewise is to reach."""

HEAD = (
    "| what | rows | rows/s | quartiles | to Gatewise | to the bound |\n|---|--:|--:|--:|--:|--:|"
)
_PACKAGES = {
    "fasttext-community": "fasttext",
    "keras": "keras",
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "scikit-learn": "sklearn",
    "tensorflow-cpu": "tensorflow",
    "tokenizers": "tokenizers",
    "torch": "torch",
}


@dataclass(frozen=True)
class Row:
    """What was measured of one way.

    Attributes:
        name: The way.
        rows: Rows of a turn.
        seconds: Of each turn.
    """

    name: str
    rows: int
    seconds: tuple[float, ...]

    @property
    def quartiles(self) -> tuple[float, float, float]:
        """Rows a second: lower quartile of the turns, median, upper quartile."""
        rates = [self.rows / seconds for seconds in self.seconds]
        lower, median, upper = map(float, np.quantile(rates, (0.25, 0.5, 0.75)))
        return lower, median, upper

    @property
    def rate(self) -> float:
        """Median of the turns."""
        return self.quartiles[1]


def measure(given: Given, ways: Sequence[str], rounds: int) -> list[Row]:
    """Has every way take its turns; the bound comes first if both of its halves are there.

    Args:
        given: What they answer.
        ways: Some of `scoring_ways.WAYS`.
        rounds: Turns of each; one more before them is not counted.

    Raises:
        FailedError: If one fails, or two ways of Gatewise give different labels.
    """
    digests: dict[str, str] = {}
    with ExitStack() as stack:
        held = {way: stack.enter_context(scoring_ways.held(way, given)) for way in ways}

        def times(way: str) -> Callable[[int], list[float]]:
            def take(calls: int) -> list[float]:
                found = []
                for _ in range(calls):
                    seconds, digest = held[way].turn()
                    found.append(seconds)
                    if digest is not None:
                        digests[way] = digest
                return found

            return take

        timed = [times(way) for way in ways]
        turns.take(timed, 1, 1)
        seconds = turns.take(timed, rounds, 1)
    _check(digests)
    rows = [Row(way, held[way].rows, tuple(each)) for way, each in zip(ways, seconds, strict=True)]
    return [*_bound(rows), *rows]


def _check(digests: Mapping[str, str]) -> None:
    ours = {way: digest for way, digest in digests.items() if WAYS[way][0] == "scoring_gatewise"}
    if len(set(ours.values())) > 1:
        told = ", ".join(f"{way}: {digest[:8]}" for way, digest in ours.items())
        raise FailedError(f"expected the same labels of all ways of Gatewise, received {told}")


def _bound(rows: Sequence[Row]) -> list[Row]:
    halves = [row for row in rows if row.name in (TOKENIZING, INFERENCE)]
    if len(halves) < 2:
        return []
    together = zip(*(row.seconds for row in halves), strict=True)
    return [Row(BOUND, halves[0].rows, tuple(map(sum, together)))]


def in_markdown(row: Row, rows: Sequence[Row]) -> str:
    """A row of the table."""
    lower, median, upper = row.quartiles

    def ratio(name: str) -> str:
        other = next((each for each in rows if each.name == name), None)
        return f"{median / other.rate:.2f}" if other else "–"

    return (
        f"| {row.name} | {row.rows:,} | {median:,.0f} | {lower:,.0f}–{upper:,.0f} | "
        f"{ratio(STRINGS)} | {ratio(BOUND)} |"
    )


def told(rows: Sequence[Row]) -> str:
    """What the goal comes to; nothing if either side of it was left out."""
    found = {row.name: row.rate for row in rows}
    if not {BOUND, STRINGS} <= found.keys():
        return ""
    share = found[STRINGS] / found[BOUND]
    met = "met" if share >= GOAL else "not met"
    return f"{STRINGS}: {share:.3f} of the bound; the goal, {GOAL}, is {met}."


def model_of(folder: Path, corpus: Path) -> Path:
    """The model folder; trained on the corpus first if it is not there.

    Raises:
        FailedError: If training fails.
    """
    if not folder.exists():
        typer.echo(f"{folder} is not there: training on {corpus}", err=True)
        path = [str(FOLDER.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        command = [sys.executable, "-m", "gatewise", "train", str(corpus), "--out", str(folder)]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
        if subprocess.run(command, env=env, stdout=subprocess.DEVNULL, check=False).returncode:
            raise FailedError(f"{folder}: training failed")
    return folder


def main(  # noqa: PLR0913, PLR0917 — an argument for each option
    model: Annotated[Path, typer.Argument(help="A model folder; trained if it is not there.")],
    folder: Annotated[Path, typer.Option("--set-folder", help="Whose rows.")] = Path(
        "../shared/data/nsmc"
    ),
    rows: Annotated[int | None, typer.Option(min=1, help="Most rows; by default all.")] = None,
    cores: Annotated[int | None, typer.Option(min=1, help="Cores of each way.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each way.")] = 5,
    learnt: Annotated[int, typer.Option(min=2, help="Rows that others learn from.")] = 20_000,
    peer_rows: Annotated[int, typer.Option(min=1, help="Most rows of others.")] = 50_000,
    node_rows: Annotated[int, typer.Option(min=1, help="Most of Transformers.js.")] = 2_000,
    only: Annotated[list[str] | None, typer.Option(help="These ways only.")] = None,
    node_modules: Annotated[Path, typer.Option(help="JavaScript's runtimes.")] = NODE_MODULES,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON Lines.")] = False,
) -> None:
    """Time every way from strings to labels, in turns, on the same cores."""
    load = os.getloadavg()[0]
    absent = scoring_ways.missing(node_modules)
    asked = [way for way in WAYS if not only or way in only]
    for way in set(absent) & set(asked):
        typer.echo(f"{way} is left out: {absent[way]}", err=True)
    if unknown := set(only or ()) - set(WAYS):
        raise typer.BadParameter(f"no way {unknown.pop()!r}; they are: {', '.join(WAYS)}")
    try:
        source = scoring_inputs.corpus_of(folder)
        learn_from = scoring_inputs.corpus_of(folder, "train", "all")
        with (
            tempfile.TemporaryDirectory() as scratch,
            scoring_ways.limited(cores or all_cores()) as count,
        ):
            given = Given(
                str(scoring_inputs.cut(source, Path(scratch) / "rows.csv.gz", rows)),
                str(model_of(model, learn_from).resolve()),
                count,
                learnt,
                peer_rows,
                node_rows,
                str(node_modules),
            )
            measured = measure(given, [way for way in asked if way not in absent], rounds)
    except (GatewiseError, FailedError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        facts = {"set": folder.name, "cores": count, "load_before": load, "versions": _versions()}
        for row in measured:
            quartiles = dict(zip(("lower", "median", "upper"), row.quartiles, strict=True))
            typer.echo(json.dumps({**asdict(row), "rows_per_second": quartiles, **facts}))
        return
    most = max(row.rows for row in measured)
    typer.echo(
        f"{folder.name}: {most:,} rows, {count} cores, medians of {rounds} rounds. A load of "
        f"{load:.1f} before the first.\n\n{HEAD}"
    )
    for row in measured:
        typer.echo(in_markdown(row, measured))
    if said := told(measured):
        typer.echo(f"\n{said}")


def _versions() -> dict[str, str]:
    return {name: version(name) for name, module in _PACKAGES.items() if find_spec(module)}


if __name__ == "__main__":
    typer.run(main)
