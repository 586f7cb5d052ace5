"""Rows a second from strings to labels: Gatewise, its bound, a linear classifier and fastText.

Every candidate is ready in a process of its own and they take turns, each on the same cores.
"""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
import typer

from benchmarks.lib import corpora
from benchmarks.lib.command import DATA, AsJson, BenchmarkError, CorpusFolder, command
from benchmarks.lib.report import Row, report
from benchmarks.lib.subprocesses import environment, gatewise_command
from benchmarks.lib.timing import rotated
from benchmarks.scoring.candidates import (
    CANDIDATES,
    CASCADE,
    FASTTEXT,
    FROM_STRINGS,
    INFERENCE,
    LINEAR,
    TOKENIZING,
    Settings,
    Turn,
    prepare,
    take_turn,
)
from gatewise.service.model.model_folder import read_model_folder
from gatewise.service.threads import available_cpus as all_cores

T = TypeVar("T")

BOUND = "the bound: tokenizing, then inference"
GOAL = 0.9
"""What share of the bound Gatewise is to reach."""

_NEEDS = {LINEAR: "sklearn", FASTTEXT: "fasttext"}


def timed(
    candidates: Mapping[str, tuple[str, Settings]], rounds: int
) -> tuple[dict[str, int], dict[str, list[Turn]]]:
    """Has every candidate take its turns; the first turn of each is not counted.

    Args:
        candidates: Names in `CANDIDATES` with their settings, by titles.
        rounds: Turns of each.

    Returns:
        The rows of a turn, and the turns, by the titles.

    Raises:
        BenchmarkError: If one fails, or two candidates of a model give different labels.
    """
    turns: dict[str, list[Turn]] = {title: [] for title in candidates}
    with ExitStack() as stack:
        pools = {
            title: stack.enter_context(ProcessPoolExecutor(1, get_context("spawn")))
            for title in candidates
        }

        def result(title: str, function: Callable[..., T], *arguments: object) -> T:
            try:
                return pools[title].submit(function, *arguments).result()
            except Exception as error:
                raise BenchmarkError(f"{title}: {error}") from error

        rows = {title: result(title, prepare, *each) for title, each in candidates.items()}
        for title in rotated(list(candidates), rounds + 1):
            turns[title].append(result(title, take_turn))
    for model in {settings.model for _, settings in candidates.values()}:
        check_labels(
            {
                title: turns[title][0].labels
                for title, (_, settings) in candidates.items()
                if settings.model == model
            }
        )
    return rows, {title: each[1:] for title, each in turns.items()}


def measure(settings: Settings, names: Sequence[str], rounds: int) -> list[Row]:
    """The rows a second of some candidates, and of the bound; raises as `timed` does."""
    rows, counted = timed({name: (name, settings) for name in names}, rounds)
    if {TOKENIZING, INFERENCE} <= counted.keys():
        halves = zip(counted[TOKENIZING], counted[INFERENCE], strict=True)
        both = [
            Turn(one.seconds + two.seconds, one.processor + two.processor) for one, two in halves
        ]
        counted = {BOUND: both, **counted}
        rows[BOUND] = rows[TOKENIZING]
    rates = {name: [rows[name] / turn.seconds for turn in counted[name]] for name in counted}
    return [
        {
            **_row(name, rows[name], rates),
            "processor, µs a row": 1e6
            * float(np.median([turn.processor for turn in counted[name]]))
            / rows[name],
        }
        for name in counted
    ]


def check_labels(digests: Mapping[str, str | None]) -> None:
    """Raises `BenchmarkError` if candidates of Gatewise gave different labels."""
    if len({digest for digest in digests.values() if digest is not None}) > 1:
        raise BenchmarkError(f"expected the same labels of all of Gatewise, received {digests}")


def _row(name: str, rows: int, rates: Mapping[str, Sequence[float]]) -> Row:
    lower, median, upper = map(float, np.quantile(rates[name], (0.25, 0.5, 0.75)))

    def ratio(other: str) -> float | None:
        return median / float(np.median(rates[other])) if other in rates else None

    return {
        "what": name,
        "rows": rows,
        "rows/s": median,
        "lower quartile": lower,
        "upper quartile": upper,
        "to Gatewise": ratio(FROM_STRINGS),
        "to the bound": ratio(BOUND),
    }


@contextmanager
def limited(cores: int) -> Iterator[int]:
    """Gives this process and those that it starts so many cores at the most; yields how many."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:cores])
    try:
        yield min(cores, len(before))
    finally:
        os.sched_setaffinity(0, before)


def has_cascade(model: Path) -> bool:
    """Whether a model folder has a cascade."""
    config = read_model_folder(model).config
    return config.gatewise.cascade is not None


def train_if_missing(model: Path, corpus: Path) -> Path:
    """The model folder; trained on the corpus first if it is not there."""
    if not model.exists():
        typer.echo(f"{model} is not there: training on {corpus}", err=True)
        command = gatewise_command("train", corpus, "--out", model)
        ended = subprocess.run(command, env=environment(), stdout=subprocess.DEVNULL, check=False)
        if ended.returncode:
            raise BenchmarkError(f"{model}: training failed")
    return model.resolve()


@command
def main(  # noqa: PLR0913, PLR0917 — an argument for each option
    model: Annotated[Path, typer.Argument(help="A model folder; trained if it is not there.")],
    folder: CorpusFolder = DATA / "nsmc",
    rows: Annotated[int | None, typer.Option(min=1, help="Most rows; by default all.")] = None,
    cores: Annotated[int | None, typer.Option(min=1, help="Cores of each candidate.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each candidate.")] = 5,
    train_rows: Annotated[int, typer.Option(min=2, help="Rows that others train on.")] = 20_000,
    peer_rows: Annotated[int, typer.Option(min=1, help="Most rows of others.")] = 50_000,
    only: Annotated[list[str] | None, typer.Option(help="These candidates only.")] = None,
    as_json: AsJson = False,
) -> None:
    """Time every candidate from strings to labels, in turns, on the same cores."""
    load = os.getloadavg()[0]
    if unknown := set(only or ()) - set(CANDIDATES):
        raise typer.BadParameter(f"no {unknown.pop()!r} among {', '.join(CANDIDATES)}")
    names = [name for name in CANDIDATES if not only or name in only]
    for name, package in _NEEDS.items():
        if name in names and find_spec(package) is None:
            typer.echo(f'{name} is left out: pip install "gatewise[benchmark]"', err=True)
            names.remove(name)
    if CASCADE in names and model.exists() and not has_cascade(model):
        typer.echo(f"{CASCADE} is left out: the model has none", err=True)
        names.remove(CASCADE)
    source = corpora.find(folder, "all", "test", "train")
    with tempfile.TemporaryDirectory() as scratch, limited(cores or all_cores()) as count:
        settings = Settings(
            corpora.cut(source, Path(scratch) / "rows.csv.gz", rows),
            train_if_missing(model, corpora.find(folder, "train", "all")),
            Path(scratch),
            count,
            train_rows,
            peer_rows,
        )
        measured = measure(settings, names, rounds)
    shares = [row["to the bound"] for row in measured if row["what"] == FROM_STRINGS]
    verdicts = {
        f"Gatewise reaches {GOAL} of the bound": isinstance(share, float) and share >= GOAL
        for share in shares
    }
    facts = {"corpus": folder.name, "cores": count, "rounds": rounds, "load before": load}
    report({"scoring": measured}, facts=facts, verdicts=verdicts, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
