"""Hyperparameter search: trials are trained one after the other and the best model is kept.

Each trial is a training run; they are compared by the validation metric, never by test rows. A
trial is stopped at an epoch where it is worse than the median of the others. What a run does once
its network is chosen, the second training and the baselines, is done for the best trial alone.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from optuna import TrialPruned

from gatewise.training.config.config import Config, ConfigError
from gatewise.training.data.corpora import Corpora
from gatewise.training.fit.progress import Finding, OnProgress, Progress
from gatewise.training.tracking.track import tracking
from gatewise.training.tuning import search_space
from gatewise.training.tuning.search_folder import SearchFolder, open_search, tidy
from gatewise.training.tuning.search_space import Space
from gatewise.training.tuning.study import SearchError, Study, SuggestedTrial, Trial
from gatewise.training.workspace import workspace_of
from gatewise.vocab.corpus.bad_row_policy import BadRows
from gatewise.vocab.errors import TokenizerError


@dataclass(frozen=True)
class SearchResult:
    """The result of a search, and the validation metric that its trials were compared by."""

    metric: str
    trials: tuple[Trial, ...]
    best: Trial
    folder: SearchFolder

    def as_dict(self) -> dict[str, Any]:
        """The search as a JSON object."""
        return {
            "metric": self.metric,
            "best": asdict(self.best),
            "trials": [asdict(trial) for trial in self.trials],
            "model": str(self.folder.best),
            "config": str(self.folder.config),
        }


@dataclass(frozen=True)
class SearchLimits:
    """When a search ends: after so many trained trials, those before a resume included, or seconds.

    The time ends a trial in the middle, too.
    """

    trials: int
    seconds: float | None = None


@dataclass(frozen=True)
class Callbacks:
    """Called as a trial's network is fitted, and with each trial when it starts and ends."""

    on_progress: OnProgress
    on_trial: Callable[[Trial], None]


_MAX_UNTRAINED = 30
"""Impossible or repeated trials in a row after which the search space counts as exhausted."""


class _OutOfTimeError(Exception):
    """The time budget is spent."""


def tune(
    corpora: Corpora,
    out: Path,
    config: Config,
    space: Space,
    limits: SearchLimits,
    bad_rows: Callable[[], AbstractContextManager[BadRows]],
    callbacks: Callbacks,
    *,
    resume: bool = False,
) -> SearchResult:
    """Searches for the settings with the best validation metric, and keeps the best model.

    Args:
        corpora: Where the rows are; there must be no test rows.
        out: The folder of the search.
        config: The settings that are not searched.
        space: The search space.
        limits: When the search ends.
        bad_rows: Opens the policy for rows that cannot be used; once for each trial.
        callbacks: The callbacks.
        resume: Whether to resume the search in the folder.

    Raises:
        GatewiseError: If the rows cannot be used, the folder cannot be written or holds another
            search, or no trial has a model.
    """
    if config.teacher.is_wanted and config.teacher.cache is None:
        raise ConfigError(
            "teacher.folders: expected teacher.cache too in a search, so that a teacher reads "
            "every text once and not in each trial: set it to a folder"
        )
    folder = SearchFolder(out)
    study = open_search(folder, corpora, config, space, resume=resume)
    deadline = time.monotonic() + limits.seconds if limits.seconds is not None else None
    in_time = True
    tidy(folder, study, config)
    while in_time and _continues(study.trials, limits.trials):
        trial = study.ask()
        callbacks.on_trial(Trial(trial.number, "running", None, trial.settings))

        def on_update(progress: Progress | Finding, trial: SuggestedTrial = trial) -> None:
            callbacks.on_progress(progress)
            if isinstance(progress, Progress):
                _report_epoch(trial, progress, deadline)

        try:
            _run(trial, folder, corpora, config, bad_rows, on_update)
        except _OutOfTimeError:
            trial.interrupt()
            reason = "the time budget was spent; resuming the search continues it"
            callbacks.on_trial(Trial(trial.number, "stopped", None, trial.settings, reason=reason))
        except BaseException:
            trial.interrupt()
            raise
        else:
            callbacks.on_trial(study.trials[-1])
        in_time = deadline is None or time.monotonic() < deadline
        tidy(folder, study, config)
    if study.best is None:
        raise SearchError(f"{out}: {_no_model(study)}")
    _finish(study.best, folder, corpora, config, bad_rows, callbacks.on_progress)
    tidy(folder, study, config)
    return SearchResult(study.metric or config.training.metric, study.trials, study.best, folder)


def _continues(trials: Sequence[Trial], max_trials: int) -> bool:
    trained = [trial for trial in trials if trial.was_trained]
    latest = trials[-_MAX_UNTRAINED:]
    exhausted = len(latest) == _MAX_UNTRAINED and not any(trial.was_trained for trial in latest)
    return len(trained) < max_trials and not exhausted


def _run(
    trial: SuggestedTrial,
    folder: SearchFolder,
    corpora: Corpora,
    config: Config,
    bad_rows: Callable[[], AbstractContextManager[BadRows]],
    on_progress: OnProgress,
) -> None:
    """Trains one trial and records how it ended."""
    try:
        settings = search_space.applied(config, trial.settings)
    except ConfigError as error:
        trial.prune(str(error))
        return
    if trial.repeats():
        return
    # Only now: TensorFlow takes seconds to import, and most mistakes are found without it.
    import keras
    import tensorflow as tf

    from gatewise.training.fit.fit import DivergedError
    from gatewise.training.network.vector_files import VectorsError
    from gatewise.training.pipeline import train

    # Every trial traces its functions anew, which TensorFlow would warn about.
    tf.get_logger().setLevel("ERROR")
    keras.utils.clear_session()
    out = folder.model_of(trial.number)
    try:
        name = f"{folder.path.resolve().name}-trial-{trial.number}"
        with (
            bad_rows() as policy,
            tracking(settings, out, name=name, resume=trial.is_resumed) as tracker,
        ):
            run = train(
                corpora,
                out,
                settings,
                policy,
                tracker.also(on_progress),
                resume=trial.is_resumed,
                is_trial=True,
            )
            tracker.ended(run)
    except (TrialPruned, ConfigError) as error:  # hopeless, or impossible with these rows
        trial.prune(str(error))
    except (DivergedError, TokenizerError, VectorsError) as error:
        trial.fail(str(error))
    except tf.errors.ResourceExhaustedError:
        trial.fail("out of memory")
    else:
        trial.complete(run.fitted.best.metric)


def _finish(
    best: Trial,
    folder: SearchFolder,
    corpora: Corpora,
    config: Config,
    bad_rows: Callable[[], AbstractContextManager[BadRows]],
    on_progress: OnProgress,
) -> None:
    """Completes the model of the best trial from its checkpoint, unless that was done before."""
    out = folder.model_of(best.number)
    if not workspace_of(out).checkpoint.exists():
        return
    import keras

    from gatewise.training.pipeline import train

    keras.utils.clear_session()
    settings = search_space.applied(config, best.settings)
    with bad_rows() as policy:
        train(corpora, out, settings, policy, on_progress, resume=True)


def _report_epoch(trial: SuggestedTrial, progress: Progress, deadline: float | None) -> None:
    """Reports an epoch, and ends the trial if it is hopeless or the time is up."""
    epoch = progress.epoch
    if epoch and progress.metric:
        if progress.metric == "rmse" and not trial.minimizes:
            raise SearchError(
                "expected training.metric=rmse in a search where numbers are predicted, so that "
                "less counts as better from the start: set it"
            )
        trial.report(epoch.number, epoch.metric, progress.metric)
    if progress.step == progress.steps:
        return  # the last update: the trial ends by itself
    if epoch and trial.is_hopeless():
        raise TrialPruned(f"worse at epoch {epoch.number} than the median of the others")
    if deadline is not None and time.monotonic() >= deadline:
        raise _OutOfTimeError


def _no_model(study: Study) -> str:
    """Why a search has no model."""
    if not study.trials:
        return (
            "the time budget was spent before a trial ended: resume the search with a longer "
            "time budget"
        )
    last = study.trials[-1]
    return (
        f"none of {len(study.trials)} trials has a model; the last one: {last.state}: {last.reason}"
    )
