"""The record of a search, kept by Optuna in a journal of JSON lines: its trials, and what is next.

A trial that was interrupted is marked as failed and does not count: the next one has its number
and, because what a trial tries depends on the seed, its number and those before it alone, its
settings. So a search that was killed goes on as if nothing had happened. Knows neither models nor
TensorFlow.
"""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from gatewise.training.tuning.search_space import Choices, Range, Space
from gatewise.training.tuning.trial import SearchError, State, Trial
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

_NAME = "gatewise"
# Beside each of Optuna's trials.
_SETTINGS, _REASON, _SECONDS, _INTERRUPTED = "settings", "reason", "seconds", "interrupted"
_REPEATS = "repeats"
# Beside the study.
_IDENTITY, _METRIC = "identity", "metric"

_RANDOM_TRIALS = 10
"""Trials that are drawn at random before the sampler learns from them."""

_FULL_TRIALS = 4
"""Trials that must be complete before one is pruned."""

_FULL_EPOCHS = 2
"""Epoch from which on a trial may be pruned."""


class Study:
    """The trials of a search.

    Args:
        path: The journal; made if it is missing.
        space: What is searched.
        seed: Seed of every choice.
        minimize: Whether a smaller value is better.
    """

    def __init__(self, path: Path, space: Space, seed: int, *, minimize: bool) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.path = path
        self._space, self._seed = space, seed
        self._best_of = min if minimize else max
        _mend(path)
        try:
            # One process at a time: a lock that is still there was left by one that was killed.
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
            raise SearchError(f"{path}: not the record of a search, or damaged") from None
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(trial.number, state=TrialState.FAIL)

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the search was begun with; empty if it has not begun."""
        found: Mapping[str, Any] = self._study.user_attrs.get(_IDENTITY, {})
        return found

    @identity.setter
    def identity(self, identity: Mapping[str, Any]) -> None:
        self._study.set_user_attr(_IDENTITY, dict(identity))

    @property
    def metric(self) -> str | None:
        """The metric that the trials are compared by, once one has told it."""
        found: str | None = self._study.user_attrs.get(_METRIC)
        return found

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The trials that count, as they were numbered."""
        return tuple(
            self._trial(number, trial) for number, trial in enumerate(self._settled(), start=1)
        )

    @property
    def best(self) -> Trial | None:
        """The complete trial with the best value; of equal ones the first."""
        complete = [trial for trial in self.trials if trial.state == "complete"]
        return self._best_of(complete, key=lambda trial: trial.value or 0.0, default=None)

    @property
    def is_blank(self) -> bool:
        """Whether nothing would be lost with it."""
        every = self._study.get_trials(deepcopy=False)
        return not self._settled() and not any(trial.intermediate_values for trial in every)

    def ask(self) -> "Suggestion":
        """The next trial."""
        settled = self._settled()
        seed = np.random.SeedSequence([self._seed, len(settled)]).generate_state(1)[0]
        self._study.sampler = optuna.samplers.TPESampler(
            seed=int(seed), n_startup_trials=_RANDOM_TRIALS
        )
        trial = self._study.ask()
        settings = {
            name: _suggested(trial, name, dimension)
            for name, dimension in self._space.dimensions.items()
        }
        trial.set_user_attr(_SETTINGS, settings)
        return Suggestion(self._study, trial, settled, settings)

    def _settled(self) -> list[FrozenTrial]:
        counted = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        return [
            trial
            for trial in self._study.get_trials(deepcopy=False, states=counted)
            if not _was_interrupted(trial)
        ]

    def _trial(self, number: int, trial: FrozenTrial) -> Trial:
        reached = [*trial.intermediate_values.values()]
        complete = trial.state == TrialState.COMPLETE
        states: dict[TrialState, State] = {
            TrialState.COMPLETE: "complete",
            TrialState.PRUNED: "pruned",
        }
        return Trial(
            number=number,
            state=states.get(trial.state, "failed"),
            value=trial.value if complete else self._best_of(reached, default=None),
            settings=trial.user_attrs[_SETTINGS],
            epochs=len(reached),
            seconds=trial.user_attrs.get(_SECONDS, 0.0),
            reason=trial.user_attrs.get(_REASON),
            repeats=trial.user_attrs.get(_REPEATS),
        )


class Suggestion:
    """A trial that is under way: what it tries, and how it is told of.

    Attributes:
        number: Counted from one.
        settings: What it tries.
        goes_on: Whether it is one that was interrupted, taken up again.
    """

    def __init__(
        self,
        study: optuna.Study,
        trial: optuna.Trial,
        settled: Sequence[FrozenTrial],
        settings: Mapping[str, Any],
    ) -> None:
        self.number, self.settings = len(settled) + 1, settings
        self._study, self._trial, self._settled = study, trial, settled
        self._began = time.monotonic()
        self._told: set[int] = set()
        before = study.get_trials(deepcopy=False)[-2:-1]
        self.goes_on = any(
            _was_interrupted(last) and last.user_attrs.get(_SETTINGS) == settings for last in before
        )
        if self.goes_on:
            # Its epochs before it was interrupted, which its checkpoint does not train again.
            self._copy(before[-1])

    def report(self, epoch: int, value: float, metric: str) -> None:
        """Tells what an epoch gave."""
        if _METRIC not in self._study.user_attrs:
            self._study.set_user_attr(_METRIC, metric)
        if epoch not in self._told:
            self._told.add(epoch)
            self._trial.report(value, epoch)

    def is_hopeless(self) -> bool:
        """Whether it is worse than the median of the complete trials was at this epoch."""
        return self._trial.should_prune()

    def repeats(self) -> bool:
        """Ends the trial as an earlier one of the same settings ended, if there is one."""
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
        """Ends the trial as one that is not worth going on with."""
        self._end(TrialState.PRUNED, reason)

    def fail(self, reason: str) -> None:
        """Ends the trial as one that gave no model."""
        self._end(TrialState.FAIL, reason)

    def interrupt(self) -> None:
        """Ends the trial so that it does not count: the next one is the same."""
        self._study.tell(self._trial, state=TrialState.FAIL)

    def _end(self, state: TrialState, reason: str | None, value: float | None = None) -> None:
        self._trial.set_user_attr(_SECONDS, round(time.monotonic() - self._began, 3))
        if reason:
            self._trial.set_user_attr(_REASON, reason)
        self._trial.set_user_attr(_INTERRUPTED, False)
        complete = state == TrialState.COMPLETE
        self._study.tell(self._trial, value if complete else None, state=state)

    def _copy(self, other: FrozenTrial) -> None:
        for epoch, value in other.intermediate_values.items():
            self._told.add(epoch)
            self._trial.report(value, epoch)


def _was_interrupted(trial: FrozenTrial) -> bool:
    # One that was killed could not say so, so those that were not say that.
    return trial.state == TrialState.FAIL and trial.user_attrs.get(_INTERRUPTED, True)


def _suggested(trial: optuna.Trial, name: str, dimension: Choices | Range) -> Any:
    if isinstance(dimension, Choices):
        # As text, for a choice may be a list, which Optuna does not keep.
        texts = [json.dumps(value) for value in dimension.values]
        return json.loads(trial.suggest_categorical(name, texts))
    low, high, step = dimension.low, dimension.high, dimension.step
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high, step=int(step or 1), log=dimension.log)
    value = trial.suggest_float(name, low, high, step=step, log=dimension.log)
    # Twelve digits, for in binary 0.1 + 2 * 0.1 is not 0.3.
    return float(f"{value:.12g}") if step else value


def _mend(path: Path) -> None:
    """Takes away a last line that a process was killed in the midst of."""
    if path.is_file():
        with path.open("rb+") as file:
            whole_lines = file.read().rfind(b"\n") + 1
            if whole_lines:  # what has none is no journal
                file.truncate(whole_lines)
