"""What `gatewise tune` prints: a line for each trial, a table of all trials at the end."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from gatewise.console.output import print_json, print_plainly, print_progress
from gatewise.training.report.metric_names import metric_name

if TYPE_CHECKING:
    from gatewise.training.fit.progress import Progress as FitProgress
    from gatewise.training.tuning.hyperparameter_search import Callbacks, SearchResult
    from gatewise.training.tuning.study import Trial


@contextmanager
def search_progress(trials: int) -> Iterator["Callbacks"]:
    """A bar over the running trial and a line per ended trial; lines alone without a terminal."""
    from gatewise.training.fit.progress import Finding  # noqa: PLC0415
    from gatewise.training.tuning.hyperparameter_search import Callbacks  # noqa: PLC0415 — brings Optuna

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def on_progress(progress: "FitProgress | Finding") -> None:
            if not isinstance(progress, Finding):
                bar.update(task, completed=progress.step, total=progress.steps)

        def on_trial(trial: "Trial") -> None:
            if trial.state == "running":
                bar.reset(task, description=f"trial {trial.number} of {trials}", total=None)
            elif trial.repeats is None:
                print_progress(console, _line(trial))

        yield Callbacks(on_progress, on_trial)


def show_search(search: "SearchResult", *, as_json: bool) -> None:
    """Prints the trials of a search and the place of the best model."""
    if as_json:
        print_json(search.as_dict())
        return
    metric = metric_name(search.metric)
    table = Table("trial", "state")
    for name in (metric, "epochs"):
        table.add_column(name, justify="right")
    table.add_column("settings", overflow="fold")
    trained = [trial for trial in search.trials if trial.was_trained]
    for trial in trained:
        number = f"{trial.number} *" if trial.number == search.best.number else f"{trial.number}"
        metrics = (_metric(trial.value), str(trial.epochs))
        table.add_row(number, trial.state, *metrics, _settings(trial.settings))
    print_plainly(table)
    others = len(search.trials) - len(trained)
    untrained = f", and {others} that were invalid or repeated another" if others else ""
    print_plainly(
        f"best of {len(trained)} trials{untrained}: {search.best.number} "
        f"(validation {metric} {_metric(search.best.value)})"
    )
    print_plainly(f"model written to {search.folder.best}, its settings to {search.folder.config}")


def _line(trial: "Trial") -> str:
    value = "" if trial.value is None else f" {_metric(trial.value)}"
    reason = f" ({trial.reason})" if trial.reason else ""
    return f"trial {trial.number}: {trial.state}{value}{reason}: {_settings(trial.settings)}"


def _settings(settings: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={_value(value)}" for name, value in settings.items())


def _metric(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
