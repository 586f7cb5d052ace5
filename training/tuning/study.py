"""The trials of a search, which Optuna keeps in a journal of JSON lines and suggests.

An interrupted trial is marked as failed and does not count: the next one has its number and,
because a suggestion depends only on the seed, the number and the trials before it, its settings. So
a killed search resumes as if it had never stopped.
"""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from gatewise.training.tuning.search_space import Choices, Range, Space
from gatewise.training.tuning.trial import SearchError, State, Trial

_NAME = "gatewise"
# User attributes of a trial.
_SETTINGS, _REASON, _SECONDS, _INTERRUPTED = "settings", "reason", "seconds", "interrupted"
_REPEATS = "repeats"
# User attributes of the study.
_IDENTITY, _METRIC = "identity", "metric"

_RANDOM_TRIALS = 10
"""Trials with random settings, before the sampler uses their results."""

_FULL_TRIALS = 4
"""Complete trials that are needed before one may be pruned."""

_FULL_EPOCHS = 2
"""Epochs of a trial after which it may be pruned."""


class Study:
    """The trials of a search.

    Args:
        path: The journal; created if it is missing.
        space: The search space.
        seed: Seed of every choice.
        minimize: Whether a smaller value is better.
    """

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
    """A running trial.

    Attributes:
        number: Counted from one.
        settings: Its values of the searched settings.
        is_resumed: Whether it is an interrupted trial, resumed.
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
        self._trial.set_user_attr(_SECONDS, round(time.monotonic() - self._began, 3))
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


def _suggested(trial: optuna.Trial, name: str, dimension: Choices | Range) -> Any:
    if isinstance(dimension, Choices):
        # As text, because a choice may be a list, which Optuna does not store.
        texts = [json.dumps(value) for value in dimension.values]
        return json.loads(trial.suggest_categorical(name, texts))
    low, high, step = dimension.low, dimension.high, dimension.step
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high, step=int(step or 1), log=dimension.log)
    value = trial.suggest_float(name, low, high, step=step, log=dimension.log)
    # Twelve digits, because in binary 0.1 + 2 * 0.1 is not 0.3.
    return float(f"{value:.12g}") if step else value


def _repair(path: Path) -> None:
    """Removes an incomplete last line, left by a killed process."""
    if path.is_file():
        with path.open("rb+") as file:
            whole_lines = file.read().rfind(b"\n") + 1
            if whole_lines:  # a file without any is no journal
                file.truncate(whole_lines)
