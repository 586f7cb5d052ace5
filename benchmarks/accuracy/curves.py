"""Learning curves: test accuracy by the number of training rows, beside other classifiers.

Every point is kept in a folder as soon as it is known, so that a run continues where an earlier one
stopped, and several processes can share the points among them.
"""

import statistics
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.accuracy.candidates import GATEWISE, Candidate, candidates
from benchmarks.accuracy.draws import SIZES, draw
from benchmarks.accuracy.picture import write_picture
from benchmarks.accuracy.points import Point, file_of, read_points
from benchmarks.accuracy.students import processor_seconds
from benchmarks.lib import corpora
from benchmarks.lib.command import DATA, AsJson, BenchmarkError, TrainingSettings, command
from benchmarks.lib.report import Row, report
from gatewise.vocab.errors import GatewiseError

SETS = (*(name for name in corpora.NAMES if name not in corpora.LARGE), "goemotions")
LINEAR = "svc"


def measure(
    data: Path,
    sets: Sequence[str],
    sizes: Sequence[str],
    draws: Sequence[int],
    chosen: Mapping[str, Candidate],
    results: Path,
) -> None:
    """Measures the points that the folder does not have; a failure is reported and passed over."""
    for name in sets:
        corpus = corpora.read(data / name)
        for drawn in (draw(corpus, size, number) for size in sizes for number in draws):
            every_row = len(drawn.train.texts) == len(corpus.train.texts)
            for key, candidate in chosen.items():
                # Of every row there is one draw; Gatewise alone is trained with further seeds.
                repeated = every_row and drawn.number > 1 and not key.startswith(GATEWISE)
                file = file_of(results, key, name, drawn.size, drawn.number)
                if repeated or file.exists() or not candidate.fits(drawn):
                    continue
                start = processor_seconds()
                try:
                    outcome = candidate.measure(drawn)
                except (BenchmarkError, GatewiseError, ImportError) as error:
                    typer.echo(f"{file.stem}, {candidate.title}: {error}", err=True)
                    continue
                point = Point(
                    **asdict(outcome),
                    candidate=key,
                    corpus=name,
                    size=drawn.size,
                    draw=drawn.number,
                    rows=len(drawn.train.texts),
                    seconds=processor_seconds() - start,
                )
                point.write(file)
                typer.echo(f"{file.stem}, {candidate.title}: {_cell([point])}", err=True)


def accuracy_table(
    points: Sequence[Point], titles: Mapping[str, str], sets: Sequence[str], sizes: Sequence[str]
) -> list[Row]:
    """Mean and standard deviation over the draws, in percent; of goemotions, micro and macro F1."""
    rows: list[Row] = []
    for name in sets:
        for size in sizes:
            here = [point for point in points if (point.corpus, point.size) == (name, size)]
            cells = {
                title: _cell([point for point in here if point.candidate == key])
                for key, title in titles.items()
            }
            if here:
                rows.append({"corpus": name, "rows a label": size, **cells})
    return rows


def _cell(points: Sequence[Point]) -> str | None:
    accuracy = [point.accuracy for point in points]
    macro_f1 = [point.macro_f1 for point in points if point.macro_f1 is not None]
    return " / ".join(_mean(values) for values in (accuracy, macro_f1) if values) or None


def _mean(values: Sequence[float]) -> str:
    percent = [100 * value for value in values]
    deviation = f" ± {statistics.stdev(percent):.1f}" if len(percent) > 1 else ""
    return f"{statistics.mean(percent):.1f}{deviation}"


def difference_table(
    points: Sequence[Point], titles: Mapping[str, str], sizes: Sequence[str]
) -> list[Row]:
    """Points above the linear model on the same draws: means over the corpora of each size."""
    linear = {
        (point.corpus, point.size, point.draw): point.accuracy
        for point in points
        if point.candidate == LINEAR
    }
    differences: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for point in points:
        if (place := (point.corpus, point.size, point.draw)) in linear:
            of_size = differences[point.candidate, point.size]
            of_size[point.corpus].append(100 * (point.accuracy - linear[place]))
    return [
        {
            "candidate": title,
            **{
                size: f"{statistics.mean(map(statistics.mean, found.values())):+.1f} ({len(found)})"
                if (found := differences.get((key, size)))
                else None
                for size in sizes
            },
        }
        for key, title in titles.items()
        if key != LINEAR
    ]


def among(names: str, known: Collection[str]) -> list[str]:
    """Names separated by commas."""
    found = names.split(",")
    for name in found:
        if name not in known:
            raise BenchmarkError(f"expected names among {', '.join(known)}, received {name!r}")
    return found


@command
def main(  # noqa: PLR0913, PLR0917 — an argument for each option
    data: Annotated[Path, typer.Option(help="Folder with a folder for each corpus.")] = DATA,
    results: Annotated[Path, typer.Option(help="Folder in which points are kept.")] = Path(
        "../results/accuracy"
    ),
    only: Annotated[str | None, typer.Option(help="Candidates, separated by commas.")] = None,
    sets: Annotated[str, typer.Option(help="Corpora, separated by commas.")] = ",".join(SETS),
    sizes: Annotated[str, typer.Option(help="Sizes, separated by commas.")] = ",".join(SIZES),
    draws: Annotated[
        str, typer.Option(help="Draws, separated by commas: the seeds of the rows and of training.")
    ] = "1,2,3",
    settings: TrainingSettings = None,
    name: Annotated[
        str, typer.Option(help="What Gatewise with these settings is called: gatewise-NAME.")
    ] = GATEWISE,
    show: Annotated[
        bool, typer.Option("--table", help="Show the folder, measure nothing.")
    ] = False,
    picture: Annotated[Path | None, typer.Option(help="SVG file to draw the curves into.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train Gatewise and others on the same rows, few and many; print how often each is right."""
    known = candidates(name, settings or (), results / "vectors")
    corpora_, sizes_ = among(sets, (*SETS, *corpora.LARGE)), sizes.split(",")
    if not show:
        chosen = {key: known[key] for key in among(only or ",".join(known), known)}
        numbers = [int(number) for number in draws.split(",")]
        measure(data, corpora_, sizes_, numbers, chosen, results)
    points = list(read_points(results))
    titles = {key: candidate.title for key, candidate in known.items()}
    titles |= {point.candidate: point.candidate for point in points if point.candidate not in known}
    if only:
        titles = {key: titles[key] for key in among(only, titles)}
    tables = {
        "accuracy, %": accuracy_table(points, titles, corpora_, sizes_),
        f"points above {titles.get(LINEAR)} (corpora)": difference_table(points, titles, sizes_),
    }
    report(tables, facts={"draws": draws}, as_json=as_json)
    if picture:
        shown = [point for name_ in corpora_ for point in points if point.corpus == name_]
        write_picture(picture, shown, titles)


if __name__ == "__main__":
    typer.run(main)
