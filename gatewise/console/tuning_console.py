"""What `gatewise tune` prints: a line for each trial on standard error, the table at the end.

Knows how a search looks; chooses nothing.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from gatewise.console.console import metric_in_words

if TYPE_CHECKING:
    from gatewise.training.fit.progress import Progress as FitProgress
    from gatewise.training.tuning.trial import Trial
    from gatewise.training.tuning.tune import Callbacks, Search


@contextmanager
def search_progress(trials: int) -> Iterator["Callbacks"]:
    """A bar over the trial under way, and a line for each that ends; only lines when in a file."""
    from gatewise.training.fit.progress import Finding  # noqa: PLC0415
    from gatewise.training.tuning.tune import Callbacks  # noqa: PLC0415 — brings Optuna

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
                console.print(_line(trial), highlight=False, markup=False, soft_wrap=True)

        yield Callbacks(on_progress, on_trial)


def show_search(search: "Search", *, as_json: bool) -> None:
    """The trials of a search, and where the best model is."""
    if as_json:
        sys.stdout.write(json.dumps(search.as_dict(), ensure_ascii=False) + "\n")
        return
    metric = metric_in_words(search.metric)
    table = Table("trial", "state")
    for name in (metric, "epochs"):
        table.add_column(name, justify="right")
    table.add_column("settings", overflow="fold")
    trained = [trial for trial in search.trials if trial.was_trained]
    for trial in trained:
        number = f"{trial.number} *" if trial.number == search.best.number else f"{trial.number}"
        figures = (_figure(trial.value), str(trial.epochs))
        table.add_row(number, trial.state, *figures, _settings(trial.settings))
    console = Console(markup=False, emoji=False, highlight=False, soft_wrap=True)
    console.print(table)
    others = len(search.trials) - len(trained)
    untrained = f", and {others} that made no sense or had been tried" if others else ""
    console.print(
        f"best of {len(trained)} trials{untrained}: {search.best.number} "
        f"(validation {metric} {_figure(search.best.value)})"
    )
    console.print(f"model written to {search.folder.best}, its settings to {search.folder.config}")


def _line(trial: "Trial") -> str:
    value = "" if trial.value is None else f" {_figure(trial.value)}"
    reason = f" ({trial.reason})" if trial.reason else ""
    return f"trial {trial.number}: {trial.state}{value}{reason}: {_settings(trial.settings)}"


def _settings(settings: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={_value(value)}" for name, value in settings.items())


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
