"""Tracking: logs a run to TensorBoard and MLflow, if its settings name them.

The metrics come from the run's progress events and its result. The packages are imported only when
they are needed.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from gatewise.training.config.config import Config
from gatewise.training.evaluation.evaluate import Report
from gatewise.training.evaluation.regression import RegressionReport
from gatewise.training.fit.progress import Epoch, Finding, OnProgress, Progress
from gatewise.training.run_metrics import RunMetrics
from gatewise.training.workspace import workspace_of
from gatewise.vocab.errors import GatewiseError, first_line


class TrackingError(GatewiseError):
    """A run cannot be logged there."""


class Log(Protocol):
    """A log of one run."""

    def epoch(self, number: int, metrics: Mapping[str, float]) -> None:
        """Logs the metrics of an epoch."""

    def ended(self, metrics: Mapping[str, float]) -> None:
        """Logs the metrics of a finished run."""

    def close(self, error: BaseException | None) -> None:
        """Closes the log, with the error that ended the run, if any."""


class Tracker:
    """Writes a run to its logs.

    A log that fails during a run is dropped, so that no training is lost; `trouble` says why.
    """

    def __init__(self) -> None:
        self.trouble: str | None = None
        self._logs: list[Log] = []

    def add(self, log: Log) -> None:
        """Adds a log."""
        self._logs.append(log)

    def also(self, on_progress: OnProgress) -> OnProgress:
        """A callback that logs each epoch and then calls another callback."""

        def both(progress: Progress | Finding) -> None:
            if isinstance(progress, Progress) and progress.epoch:
                metrics = _epoch_metrics(progress.epoch, progress.metric or "metric")
                number = progress.epoch.number
                self._each(lambda log: log.epoch(number, metrics))
            on_progress(progress)

        return both

    def ended(self, run: RunMetrics) -> None:
        """Logs the metrics of the whole run."""
        metrics = {
            "best_epoch": float(run.fitted.best.number),
            "parameters": float(run.parameters),
            **_report_metrics("validation", run.validation),
            **(_report_metrics("test", run.test) if run.test else {}),
        }
        self._each(lambda log: log.ended(metrics))

    def close(self, error: BaseException | None) -> None:
        """Closes the logs."""
        self._each(lambda log: log.close(error))

    def _each(self, write: Callable[[Log], None]) -> None:
        for log in list(self._logs):
            try:
                write(log)
            except Exception as failure:  # whatever a server or a disk does
                self._logs.remove(log)
                self.trouble = f"{log}: stopped logging this run: {first_line(failure)}"


@contextmanager
def tracking(
    config: Config, out: Path, *, name: str | None = None, resume: bool = False
) -> Iterator[Tracker]:
    """Opens the logs that the settings of a run name, and closes them.

    The run has the name of its model folder if it is given no other. With `resume` it continues
    from its checkpoint, if there is one.

    Raises:
        TrackingError: If a log cannot be written.
        ModuleNotFoundError: If the package is not installed.
    """
    settings, name = config.training, name or out.resolve().name
    if settings.tensorboard:
        _check_place("tensorboard", settings.tensorboard / name, out)
    if settings.mlflow and "://" not in settings.mlflow:
        _check_place("mlflow", Path(settings.mlflow), out)
    tracker = Tracker()
    try:
        if settings.tensorboard:
            from gatewise.training.tracking.tensorboard_log import TensorBoardLog

            tracker.add(TensorBoardLog(settings.tensorboard / name))
        if settings.mlflow:
            from gatewise.training.tracking.mlflow_log import MlflowLog

            resumes = resume and workspace_of(out).checkpoint.exists()
            tracker.add(MlflowLog(settings.mlflow, config, out, name, resume=resumes))
        yield tracker
    except BaseException as error:
        tracker.close(error)
        raise
    tracker.close(None)


def _check_place(setting: str, place: Path, out: Path) -> None:
    if out.resolve() in (place.resolve(), *place.resolve().parents):
        raise TrackingError(
            f"training.{setting}: {place} is in the model folder {out}, which holds nothing "
            "else: name another place"
        )


def _epoch_metrics(epoch: Epoch, metric: str) -> dict[str, float]:
    return {
        "loss": epoch.loss,
        "validation_loss": epoch.validation_loss,
        **({} if metric == "loss" else {f"validation_{metric}": epoch.metric}),
        "learning_rate": epoch.learning_rate,
    }


def _report_metrics(part: str, report: Report | RegressionReport) -> dict[str, float]:
    metrics = (
        {
            "rmse": report.rmse,
            "mae": report.mae,
            "r2": report.r2,
            "spearman": report.spearman,
            "coverage": report.coverage,
        }
        if isinstance(report, RegressionReport)
        else {
            "accuracy": report.accuracy,
            "macro_f1": report.macro_f1,
            "micro_f1": report.micro_f1,
            "log_loss": report.log_loss,
            "ece": report.ece,
            "answered": report.answered,
            "accuracy_answered": report.accuracy_answered,
            "out_of_scope_recall": report.out_of_scope_recall,
        }
    )
    found = {f"{part}_{name}": value for name, value in metrics.items() if value is not None}
    if isinstance(report, RegressionReport):
        for target, each in (report.targets or {}).items():
            found |= _report_metrics(f"{part}/{target}", each)
    return found
