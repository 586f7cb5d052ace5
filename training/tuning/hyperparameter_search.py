"""Hyperparameter search: trials are trained one after the other and the best model is kept.

Each trial is a training run; they are compared by the validation metric, never by test rows. Where
the rows are few, it is the mean of a cross-validation: those held out of one run alone would choose
by chance. A trial is stopped at an epoch of its first fold where it is worse than the median of the
others. What a run does once its network is chosen, the second training and the baselines, is done
for the best trial alone.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from optuna import TrialPruned

from gatewise.training.config.config import Config, ConfigError
from gatewise.training.data.auto_settings import FEW_ROWS
from gatewise.training.data.corpora import Corpora, columns_of, holds_out
from gatewise.training.fit.progress import Finding, OnProgress, Progress
from gatewise.training.run_metrics import RunMetrics
from gatewise.training.tracking.track import tracking
from gatewise.training.tuning import search_space
from gatewise.training.tuning.search_folder import SearchFolder, open_search, tidy
from gatewise.training.tuning.search_space import Space
from gatewise.training.tuning.study import SearchError, Study, SuggestedTrial, Trial
from gatewise.training.workspace import workspace_of
from gatewise.vocab.corpus.bad_row_policy import BadRows, CountBadRows
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
    """How much a search trains.

    Attributes:
        trials: Trained trials after which it ends, those before a resume included.
        seconds: Time after which it ends, also in the middle of a trial; None for any.
        folds: Networks that are trained for each trial, each with other rows held out; None for
            several where the rows are few, and for one where there is a validation corpus.
    """

    trials: int
    seconds: float | None = None
    folds: int | None = None


@dataclass(frozen=True)
class Callbacks:
    """Called as a trial's network is fitted, and with each trial when it starts and ends."""

    on_progress: OnProgress
    on_trial: Callable[[Trial], None]


_MAX_UNTRAINED = 30
"""Impossible or repeated trials in a row after which the search space counts as exhausted."""


_FOLDS = 5
"""Folds of a cross-validation where the rows are few."""


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
        limits: How much is trained.
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
    folds = limits.folds
    if folds is not None and folds > 1 and not holds_out(corpora):
        raise SearchError(
            "folds: expected validation rows held out of the corpus, received a validation corpus: "
            "leave one of the two out",
            option="folds",
        )
    if config.training.metric == "auto" and columns_of(corpora.train, config).task == "regression":
        config = config.changed("training", metric="rmse")  # of which less is better
    folder = SearchFolder(out)
    study = open_search(folder, corpora, config, space, folds, resume=resume)
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
            _run(trial, folder, corpora, config, bad_rows, on_update, folds)
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
    folds: int | None,
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
    import tensorflow as tf

    from gatewise.training.fit.devices import free_session
    from gatewise.training.fit.fit import DivergedError
    from gatewise.training.network.vector_files import VectorsError
    from gatewise.training.pipeline import train

    free_session()
    out = folder.model_of(trial.number)
    try:
        name = f"{folder.path.resolve().name}-trial-{trial.number}"
        with (
            bad_rows() as policy,
            tracking(settings, out, name=name, resume=trial.is_resumed) as tracker,
        ):
            trained = train(
                corpora,
                out,
                settings,
                policy,
                tracker.also(on_progress),
                resume=trial.is_resumed,
                is_trial=True,
            )
            tracker.ended(trained.run)
        own, others = trained.run, _other_folds(trained.run, corpora, settings, on_progress, folds)
        scores = [own.fitted.best.metric, *others]
    except (TrialPruned, ConfigError) as error:  # hopeless, or impossible with these rows
        trial.prune(str(error))
    except (DivergedError, TokenizerError, VectorsError) as error:
        trial.fail(str(error))
    except tf.errors.ResourceExhaustedError:
        trial.fail("out of memory")
    else:
        trial.complete(fmean(scores))


def _other_folds(
    run: RunMetrics, corpora: Corpora, config: Config, on_progress: OnProgress, folds: int | None
) -> Iterator[float]:
    """The metric of each further fold of a trial's cross-validation.

    Args:
        run: The trial's own run, which is the first fold.
        corpora: The corpora.
        config: The settings of the trial.
        on_progress: Called as a network is fitted.
        folds: Folds in all; None for several where the rows are few.
    """
    from gatewise.training.fit.devices import free_session
    from gatewise.training.pipeline import train

    if folds is None:
        is_wanted = holds_out(corpora) and run.rows + run.validation.rows <= FEW_ROWS
        folds = _FOLDS if is_wanted else 1
    for fold in range(1, folds):

        def progress(event: Progress | Finding, fold: int = fold) -> None:
            if isinstance(event, Progress):
                stage = f"fold {fold + 1} of {folds}"
                on_progress(Progress(event.step, event.steps, stage=stage))

        free_session()
        with tempfile.TemporaryDirectory() as place:
            out, settings = Path(place) / "model", config.changed("corpus", fold=fold)
            # Its bad rows are those of the first fold.
            other = train(corpora, out, settings, CountBadRows(), progress, is_trial=True)
        yield other.run.fitted.best.metric


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
    from gatewise.training.fit.devices import free_session
    from gatewise.training.pipeline import train

    free_session()
    settings = search_space.applied(config, best.settings)
    with bad_rows() as policy:
        train(corpora, out, settings, policy, on_progress, resume=True)


def _report_epoch(trial: SuggestedTrial, progress: Progress, deadline: float | None) -> None:
    """Reports an epoch, and ends the trial if it is hopeless or the time is up."""
    epoch = progress.epoch
    if epoch and progress.metric:
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
