"""The trials of a search, which Optuna keeps in a journal of JSON lines and suggests.

An interrupted trial is marked as failed and does not count: the next one has its number and,
because a suggestion depends only on the seed, the number and the trials before it, its settings. So
a killed search resumes as if it had never stopped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from gatewise.training.tuning.search_space import Space, value_of
from gatewise.vocab.errors import GatewiseError

_NAME = "gatewise"
# User attributes of a trial.
_SETTINGS, _REASON, _INTERRUPTED, _REPEATS = "settings", "reason", "interrupted", "repeats"
# User attributes of the study.
_IDENTITY, _METRIC = "identity", "metric"

TrialStatus = Literal["running", "complete", "pruned", "failed", "stopped"]

_STATES: dict[TrialState, TrialStatus] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}

_RANDOM_TRIALS = 10
"""Trials with random settings, before the sampler uses their results."""

_FULL_TRIALS = 4
"""Complete trials that are needed before one may be pruned."""

_FULL_EPOCHS = 2
"""Epochs of a trial after which it may be pruned."""


class SearchError(GatewiseError):
    """A search that cannot be started or resumed, or that found no model."""


@dataclass(frozen=True)
class Trial:
    """One trial of a search.

    Attributes:
        number: Counted from one.
        state: `pruned`: stopped early because it was worse than others, or because its settings do
            not fit together; `stopped`: interrupted.
        value: The best value of the metric that it reached.
        settings: The searched settings, by name.
        epochs: Epochs that it was trained for.
        seconds: Its duration; if it was interrupted and resumed, since it was resumed.
        reason: Why it has no model.
        repeats: An earlier trial with the same settings, whose results it has without being
            trained.
    """

    number: int
    state: TrialStatus
    value: float | None
    settings: Mapping[str, Any]
    epochs: int = 0
    seconds: float = 0.0
    reason: str | None = None
    repeats: int | None = None

    @property
    def was_trained(self) -> bool:
        """Whether a network was trained for it."""
        return self.repeats is None and (self.state != "pruned" or self.epochs > 0)


class Study:
    """The trials of a search, in a journal that is created if it is missing."""

    def __init__(self, path: Path, space: Space, seed: int, *, minimize: bool) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.path = path
        self._space, self._seed = space, seed
        self._best_of = min if minimize else max
        _repair(path)
        try:
            # One process at a time: an existing lock was left by a killed process.
            lock = JournalFileOpenLock(str(path))
            path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
            self._study = optuna.create_study(
                study_name=_NAME,
                storage=JournalStorage(JournalFileBackend(str(path), lock)),
                direction="minimize" if minimize else "maximize",
                pruner=optuna.pruners.MedianPruner(
                    n_startup_trials=_FULL_TRIALS, n_warmup_steps=_FULL_EPOCHS
                ),
                load_if_exists=True,
            )
        except (ValueError, LookupError, TypeError, AttributeError, AssertionError):
            raise SearchError(f"{path}: not the journal of a search, or damaged") from None
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(trial.number, state=TrialState.FAIL)

    @property
    def identity(self) -> Mapping[str, Any]:
        """The settings it was started with; empty if it has not started."""
        found: Mapping[str, Any] = self._study.user_attrs.get(_IDENTITY, {})
        return found

    @identity.setter
    def identity(self, identity: Mapping[str, Any]) -> None:
        self._study.set_user_attr(_IDENTITY, dict(identity))

    @property
    def metric(self) -> str | None:
        """The metric that the trials are compared by; None before the first epoch ended."""
        found: str | None = self._study.user_attrs.get(_METRIC)
        return found

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The trials that count, by number."""
        return tuple(
            self._trial(number, trial) for number, trial in enumerate(self._settled(), start=1)
        )

    @property
    def best(self) -> Trial | None:
        """The complete trial with the best value; of equal values, the first."""
        complete = [trial for trial in self.trials if trial.state == "complete"]
        return self._best_of(complete, key=lambda trial: trial.value or 0.0, default=None)

    @property
    def is_blank(self) -> bool:
        """Whether it holds no result."""
        every = self._study.get_trials(deepcopy=False)
        return not self._settled() and not any(trial.intermediate_values for trial in every)

    def ask(self) -> "SuggestedTrial":
        """The next trial."""
        settled = self._settled()
        seed = np.random.SeedSequence([self._seed, len(settled)]).generate_state(1)[0]
        self._study.sampler = optuna.samplers.TPESampler(
            seed=int(seed), n_startup_trials=_RANDOM_TRIALS
        )
        trial = self._study.ask(dict(self._space))
        settings = {
            name: value_of(distribution, trial.params[name])
            for name, distribution in self._space.items()
        }
        trial.set_user_attr(_SETTINGS, settings)
        return SuggestedTrial(self._study, trial, settled, settings)

    def _settled(self) -> list[FrozenTrial]:
        ended = self._study.get_trials(deepcopy=False, states=tuple(_STATES))
        return [trial for trial in ended if not _was_interrupted(trial)]

    def _trial(self, number: int, trial: FrozenTrial) -> Trial:
        reached = [*trial.intermediate_values.values()]
        complete = trial.state == TrialState.COMPLETE
        return Trial(
            number=number,
            state=_STATES[trial.state],
            value=trial.value if complete else self._best_of(reached, default=None),
            settings=trial.user_attrs[_SETTINGS],
            epochs=len(reached),
            seconds=round(trial.duration.total_seconds(), 3) if trial.duration else 0.0,
            reason=trial.user_attrs.get(_REASON),
            repeats=trial.user_attrs.get(_REPEATS),
        )


class SuggestedTrial:
    """A running trial, counted from one; `is_resumed` if an interrupted one continues."""

    def __init__(
        self,
        study: optuna.Study,
        trial: optuna.Trial,
        settled: Sequence[FrozenTrial],
        settings: Mapping[str, Any],
    ) -> None:
        self.number, self.settings = len(settled) + 1, settings
        self._study, self._trial, self._settled = study, trial, settled
        self._reported: set[int] = set()
        before = study.get_trials(deepcopy=False)[-2:-1]
        self.is_resumed = any(
            _was_interrupted(last) and last.user_attrs.get(_SETTINGS) == settings for last in before
        )
        if self.is_resumed:
            # The epochs before the interruption, which are not trained again.
            self._copy(before[-1])

    def report(self, epoch: int, value: float, metric: str) -> None:
        """Reports the metric of an epoch."""
        if _METRIC not in self._study.user_attrs:
            self._study.set_user_attr(_METRIC, metric)
        if epoch not in self._reported:
            self._reported.add(epoch)
            self._trial.report(value, epoch)

    def is_hopeless(self) -> bool:
        """Whether it is worse than the median of the complete trials at this epoch."""
        return self._trial.should_prune()

    def repeats(self) -> bool:
        """Ends the trial with the result of an earlier one with the same settings, if any."""
        for number, other in enumerate(self._settled, start=1):
            if other.user_attrs[_SETTINGS] == self.settings:
                self._copy(other)
                self._trial.set_user_attr(_REPEATS, number)
                self._end(other.state, other.user_attrs.get(_REASON), other.value)
                return True
        return False

    def complete(self, value: float) -> None:
        """Ends the trial with its value."""
        self._end(TrialState.COMPLETE, None, value)

    def prune(self, reason: str) -> None:
        """Ends the trial as one that is not worth continuing."""
        self._end(TrialState.PRUNED, reason)

    def fail(self, reason: str) -> None:
        """Ends the trial as one without a model."""
        self._end(TrialState.FAIL, reason)

    def interrupt(self) -> None:
        """Ends the trial so that it does not count: the next one is the same."""
        self._study.tell(self._trial, state=TrialState.FAIL)

    def _end(self, state: TrialState, reason: str | None, value: float | None = None) -> None:
        if reason:
            self._trial.set_user_attr(_REASON, reason)
        self._trial.set_user_attr(_INTERRUPTED, False)
        complete = state == TrialState.COMPLETE
        self._study.tell(self._trial, value if complete else None, state=state)

    def _copy(self, other: FrozenTrial) -> None:
        for epoch, value in other.intermediate_values.items():
            self._reported.add(epoch)
            self._trial.report(value, epoch)


def _was_interrupted(trial: FrozenTrial) -> bool:
    # A killed trial cannot record it, so every other trial records the opposite.
    return trial.state == TrialState.FAIL and trial.user_attrs.get(_INTERRUPTED, True)


def _repair(path: Path) -> None:
    """Removes an incomplete last line, left by a killed process."""
    if path.is_file():
        with path.open("rb+") as file:
            whole_lines = file.read().rfind(b"\n") + 1
            if whole_lines:  # a file without any is no journal
                file.truncate(whole_lines)
