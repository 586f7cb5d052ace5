"""The front of accuracy against rows a second: models of several sizes, with and without cascade.

LinearSVC and fastText, which are trained on the same rows, stand beside them.
"""

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.lib import corpora
from benchmarks.lib.command import AsJson, command
from benchmarks.lib.report import report
from benchmarks.scoring.candidates import CASCADE, FASTTEXT, FROM_STRINGS, LINEAR, Settings
from benchmarks.scoring.throughput import has_cascade, limited, timed
from gatewise.service.threads import available_cpus

CASCADED = ", cascade"
"""What follows the name of a model with its cascade."""


@command
def main(
    train: Annotated[Path, typer.Argument(help="The rows that all models were trained on.")],
    test: Annotated[Path, typer.Argument(help="Rows that none has seen.")],
    models: Annotated[list[Path], typer.Argument(help="Model folders, which name the points.")],
    rows: Annotated[int | None, typer.Option(min=1, help="Test rows.")] = None,
    cores: Annotated[int | None, typer.Option(min=1, help="Cores of each candidate.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each candidate.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Time every model from strings to labels, in turns, on the same cores, with its accuracy."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch, limited(cores or available_cpus()) as count:
        file = corpora.cut(test, Path(scratch) / "rows.csv.gz", rows)

        def settings(model: Path) -> Settings:
            return Settings(file, model.resolve(), Path(scratch), count, None, None, train)

        candidates = {model.name: (FROM_STRINGS, settings(model)) for model in models}
        for model in filter(has_cascade, models):
            candidates[model.name + CASCADED] = CASCADE, settings(model)
        candidates["LinearSVC"] = LINEAR, settings(models[0])
        if find_spec("fasttext"):
            candidates["fastText"] = FASTTEXT, settings(models[0])
        of_turn, turns = timed(candidates, rounds)
    points = []
    for title, each in turns.items():
        rates = [of_turn[title] / turn.seconds for turn in each]
        lower, median, upper = map(float, np.quantile(rates, (0.25, 0.5, 0.75)))
        processor = float(np.median([turn.processor for turn in each]))
        points.append(
            {
                "what": title,
                "rows": of_turn[title],
                "rows/s": median,
                "lower quartile": lower,
                "upper quartile": upper,
                "processor, µs a row": 1e6 * processor / of_turn[title],
                "accuracy, %": 100 * (each[0].accuracy or 0),
            }
        )
    facts = {"test": test.name, "cores": count, "rounds": rounds, "load before": load}
    report({"front": points}, facts=facts, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
