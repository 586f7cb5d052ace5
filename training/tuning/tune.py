"""The walk of a search: trial after trial trained, the best model kept.

Trials run one after the other, each a training run of its own, compared by the validation metric;
test rows have no part in it. A trial is given up at an epoch where it is worse than the median of
the others. Knows nothing of the command line, and leaves the choosing to
`gatewise.training.tuning.study`.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatewise.training.config.config import Config, ConfigError
from gatewise.training.data.corpora import Corpora
from gatewise.training.fit.progress import Progress
from gatewise.training.tracking.track import tracking
from gatewise.training.tuning import search_space
from gatewise.training.tuning.search_folder import Place, opened, tidy
from gatewise.training.tuning.search_space import Space
from gatewise.training.tuning.study import Study, Suggestion
from gatewise.training.tuning.trial import SearchError, Trial
from gatewise.vocab.corpus.bad_row_policy import BadRows
from gatewise.vocab.errors import TokenizerError


@dataclass(frozen=True)
class Search:
    """What a search gave.

    Attributes:
        metric: Name of the validation metric that the trials were compared by.
        trials: Every trial, as they were numbered.
        best: The one whose model was kept.
        place: Where it is.
    """

    metric: str
    trials: tuple[Trial, ...]
    best: Trial
    place: Place

    def as_dict(self) -> dict[str, Any]:
        """The search as a JSON object."""
        return {
            "metric": self.metric,
            "best": self.best.as_dict(),
            "trials": [trial.as_dict() for trial in self.trials],
            "model": str(self.place.best),
            "config": str(self.place.config),
        }


@dataclass(frozen=True)
class Limits:
    """How long a search goes on.

    Attributes:
        trials: Most trials that are trained, those of an earlier run of it included.
        seconds: Time after which it stops, trial under way included; None if there is no end.
    """

    trials: int
    seconds: float | None = None


@dataclass(frozen=True)
class Watch:
    """Who is told how a search goes.

    Attributes:
        on_progress: Called as a trial's network is fitted.
        on_trial: Called with each trial as it begins and as it ends.
    """

    on_progress: Callable[[Progress], None]
    on_trial: Callable[[Trial], None]


_MOST_UNTRAINED = 30
"""Trials in a row that make no sense or were tried before, after which the space is used up."""


class _OutOfTimeError(Exception):
    """The time budget is spent."""


class _HopelessError(Exception):
    """The trial is worse than others were."""


def tune(
    corpora: Corpora,
    out: Path,
    config: Config,
    space: Space,
    limits: Limits,
    bad_rows: Callable[[], AbstractContextManager[BadRows]],
    watch: Watch,
    *,
    resume: bool = False,
) -> Search:
    """Searches for the settings with the best validation metric, and keeps the best model.

    Args:
        corpora: Where the rows are; there must be no test rows.
        out: The folder of the search.
        config: The settings that are not searched.
        space: Those that are.
        limits: How long the search goes on.
        bad_rows: Opens the policy for rows that cannot be used; once for each trial.
        watch: Who is told how it goes.
        resume: Whether to go on with the search that is in the folder.

    Raises:
        GatewiseError: If the rows cannot be used, the folder cannot be written, there is another
            search in it, or no trial gave a model.
    """
    place = Place(out)
    study = opened(place, corpora, config, space, resume=resume)
    deadline = time.monotonic() + limits.seconds if limits.seconds is not None else None
    in_time = True
    tidy(place, study, config)
    while in_time and _goes_on(study.trials, limits.trials):
        trial = study.ask()
        watch.on_trial(Trial(trial.number, "running", None, trial.settings))

        def on_update(progress: Progress, trial: Suggestion = trial) -> None:
            watch.on_progress(progress)
            _look_at(trial, progress, deadline)

        try:
            _run(trial, place, corpora, config, bad_rows, on_update)
        except _OutOfTimeError:
            trial.interrupt()
            reason = "the time budget was spent; resuming the search continues it"
            watch.on_trial(Trial(trial.number, "stopped", None, trial.settings, reason=reason))
        except BaseException:
            trial.interrupt()
            raise
        else:
            watch.on_trial(study.trials[-1])
        in_time = deadline is None or time.monotonic() < deadline
        tidy(place, study, config)
    if study.best is None:
        raise SearchError(f"{out}: {_nothing(study)}")
    return Search(study.metric or config.training.metric, study.trials, study.best, place)


def _goes_on(trials: Sequence[Trial], most: int) -> bool:
    trained = [trial for trial in trials if trial.was_trained]
    of_late = trials[-_MOST_UNTRAINED:]
    used_up = len(of_late) == _MOST_UNTRAINED and not any(trial.was_trained for trial in of_late)
    return len(trained) < most and not used_up


def _run(
    trial: Suggestion,
    place: Place,
    corpora: Corpora,
    config: Config,
    bad_rows: Callable[[], AbstractContextManager[BadRows]],
    on_progress: Callable[[Progress], None],
) -> None:
    """Trains one trial and says how it ended."""
    try:
        settings = search_space.applied(config, trial.settings)
    except ConfigError as error:
        trial.prune(str(error))
        return
    if trial.repeats():
        return
    # Only now: TensorFlow takes seconds to import, and most mistakes are told without it.
    import keras
    import tensorflow as tf
    from gatewise.training.fit.fit import DivergedError
    from gatewise.training.network.vector_files import VectorsError
    from gatewise.training.pipeline import train

    # Every trial builds its functions anew, which is what TensorFlow would warn of.
    tf.get_logger().setLevel("ERROR")
    keras.utils.clear_session()
    out = place.trials / str(trial.number)
    try:
        goes_on, name = trial.goes_on, f"{place.path.resolve().name}-trial-{trial.number}"
        with (
            bad_rows() as policy,
            tracking(settings, out, name=name, resume=goes_on) as track,
        ):
            told = track.also(on_progress)
            run = train(corpora, out, settings, policy, told, resume=goes_on)
            track.ended(run)
    except _HopelessError as error:
        trial.prune(str(error))
    except ConfigError as error:  # one that only the rows show to be impossible
        trial.prune(str(error))
    except (DivergedError, TokenizerError, VectorsError) as error:
        trial.fail(str(error))
    except tf.errors.ResourceExhaustedError:
        trial.fail("out of memory")
    else:
        trial.complete(run.fitted.best.metric)


def _look_at(trial: Suggestion, progress: Progress, deadline: float | None) -> None:
    """Tells the trial of an epoch, and ends it if it is not to go on."""
    epoch = progress.epoch
    if epoch and progress.metric:
        trial.report(epoch.number, epoch.metric, progress.metric)
    if progress.step == progress.steps:
        return  # it is at its end by itself
    if epoch and trial.is_hopeless():
        raise _HopelessError(f"worse at epoch {epoch.number} than the median of the others")
    if deadline is not None and time.monotonic() >= deadline:
        raise _OutOfTimeError


def _nothing(study: Study) -> str:
    """Why a search has no model to give."""
    if not study.trials:
        return (
            "the time budget was spent before a trial ended: resume the search with a longer "
            "time budget"
        )
    last = study.trials[-1]
    return (
        f"none of {len(study.trials)} trials came to its end; the last one: {last.state}: "
        f"{last.reason}"
    )
