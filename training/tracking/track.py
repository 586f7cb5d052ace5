"""Tracking: a run told to TensorBoard and MLflow as it goes, where its settings ask for it.

Knows what is told and where it goes; the run knows nothing of it, for the epochs come from its
progress and the figures from its end. The packages are imported only when they are asked for.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gatewise.training.config.config import Config
from gatewise.training.evaluation.evaluate import Report
from gatewise.training.fit.progress import Epoch, Finding, OnProgress, Progress
from gatewise.training.run_metrics import RunMetrics
from gatewise.training.tracking.tracking_log import Log, TrackingError, first_line
from gatewise.training.workspace import beside


class Tracker:
    """Tells a run to every log there is.

    A log that fails in the midst of a run is told nothing more, lest hours of training be lost.

    Attributes:
        trouble: Why a log was given up, if one was.
    """

    def __init__(self) -> None:
        self.trouble: str | None = None
        self._logs: list[Log] = []

    def add(self, log: Log) -> None:
        """Takes one more log."""
        self._logs.append(log)

    def also(self, on_progress: OnProgress) -> OnProgress:
        """A callback that logs each epoch and then calls another callback."""

        def both(progress: Progress | Finding) -> None:
            if isinstance(progress, Progress) and progress.epoch:
                figures = _figures_of_epoch(progress.epoch, progress.metric or "metric")
                number = progress.epoch.number
                self._tell(lambda log: log.epoch(number, figures))
            on_progress(progress)

        return both

    def ended(self, run: RunMetrics) -> None:
        """Tells the figures of the whole run."""
        figures = {
            "best_epoch": float(run.fitted.best.number),
            "parameters": float(run.parameters),
            **_figures_of_report("validation", run.validation),
            **(_figures_of_report("test", run.test) if run.test else {}),
        }
        self._tell(lambda log: log.ended(figures))

    def close(self, error: BaseException | None) -> None:
        """Ends the logs."""
        self._tell(lambda log: log.close(error))

    def _tell(self, what: Callable[[Log], None]) -> None:
        for log in list(self._logs):
            try:
                what(log)
            except Exception as failure:  # whatever a server or a disk may do
                self._logs.remove(log)
                self.trouble = f"{log}: was told no more of this run: {first_line(failure)}"


@contextmanager
def tracking(
    config: Config, out: Path, *, name: str | None = None, resume: bool = False
) -> Iterator[Tracker]:
    """What tells a run to the places that its settings name; to none, if they name none.

    Args:
        config: Every setting of the run.
        out: The model folder that it writes.
        name: What it is called there; by default, as its folder is.
        resume: Whether it goes on from its checkpoint, if there is one.

    Raises:
        TrackingError: If a place cannot be written to.
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

            goes_on = resume and beside(out).checkpoint.exists()
            tracker.add(MlflowLog(settings.mlflow, config, out, name, resume=goes_on))
        yield tracker
    except BaseException as error:
        tracker.close(error)
        raise
    tracker.close(None)


def _check_place(setting: str, place: Path, out: Path) -> None:
    if out.resolve() in (place.resolve(), *place.resolve().parents):
        raise TrackingError(
            f"training.{setting}: {place} lies in the model folder {out}, which holds nothing but "
            "the model: name another place"
        )


def _figures_of_epoch(epoch: Epoch, metric: str) -> dict[str, float]:
    return {
        "loss": epoch.loss,
        "validation_loss": epoch.validation_loss,
        **({} if metric == "loss" else {f"validation_{metric}": epoch.metric}),
        "learning_rate": epoch.learning_rate,
    }


def _figures_of_report(part: str, report: Report) -> dict[str, float]:
    figures = {
        "accuracy": report.accuracy,
        "macro_f1": report.macro_f1,
        "micro_f1": report.micro_f1,
        "log_loss": report.log_loss,
        "ece": report.ece,
        "answered": report.answered,
        "accuracy_answered": report.accuracy_answered,
        "out_of_scope_recall": report.out_of_scope_recall,
    }
    return {f"{part}_{name}": value for name, value in figures.items() if value is not None}
