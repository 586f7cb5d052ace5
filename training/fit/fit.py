"""The training loop: epochs, validation, early stopping, checkpoints, recovery from divergence.

If the cost diverges, the last good weights are restored and the learning rate is lowered. The
checkpoint has the complete state of a run, so that a killed run resumes to the same bytes.
"""

import itertools
import math
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gatewise.training.config.training_section import MINIMIZED, Metric, TrainingConfig
from gatewise.training.data.examples import Examples
from gatewise.training.fit import diagnosis
from gatewise.training.fit.checkpoint import Checkpoint, Checkpoints, TrainingState
from gatewise.training.fit.dataset import Batch, Batches, tensors
from gatewise.training.fit.diagnosis import Cost
from gatewise.training.fit.loss import Loss
from gatewise.training.fit.lr_range_test import range_test
from gatewise.training.fit.path_weights import Prior
from gatewise.training.fit.progress import Epoch, Finding, Fitted, OnProgress, Progress
from gatewise.training.fit.schedule import LearningRate
from gatewise.training.fit.train_step import Arrays, Trainer
from gatewise.training.fit.validation import balance_paths, validate
from gatewise.vocab.errors import GatewiseError

_RATE_REDUCTION = 0.1
"""Factor of the learning rate after the cost diverged."""

_MAX_REDUCTIONS = 8
"""Maximum number of reductions before training fails."""

_MIN_UPDATES_FLAT = 30
"""Minimum updates before a cost can be diagnosed as flat."""


class DivergedError(GatewiseError):
    """The cost diverged at every learning rate tried."""


def fit(  # noqa: PLR0913 — everything that a fit begins with
    trainer: Trainer,
    config: TrainingConfig,
    train: Examples,
    validation: Examples,
    checkpoints: Checkpoints,
    on_progress: OnProgress,
    *,
    prior: Prior | None = None,
    resume: bool = False,
    remedy: str | None = None,
) -> Fitted:
    """Trains a network, which has the weights of its best epoch at the end.

    The best epoch is the one with the best validation metric; ties go to the lower validation
    loss. Deterministic: the same model, rows and seed give the same weights, bit for bit, on one
    machine, whether or not the run was interrupted.

    Args:
        trainer: The network, with its initial weights, and the loss.
        config: The training settings.
        train: The training rows.
        validation: The rows by which the best epoch is chosen.
        checkpoints: The run's checkpoint file.
        on_progress: Called after each update and each epoch, and for each finding.
        prior: What is known of the weights of the paths before the validation rows.
        resume: Whether to resume from the checkpoint, if there is one.
        remedy: What to try where the cost stays flat or diverges, before another learning rate.

    Raises:
        DivergedError: If the cost diverges even at the lowest rate tried.
        CheckpointError: If the checkpoint is damaged or belongs to another run.
    """
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    run = _Run(trainer, config, train, validation, checkpoints, on_progress, prior, remedy)
    return run.run(resume=resume)


def refit(
    trainer: Trainer,
    loss: Loss,
    config: TrainingConfig,
    train: Examples,
    fitted: Fitted,
    on_progress: OnProgress,
) -> None:
    """Trains a network again in the same way, as far as the best epoch of an earlier run.

    Args:
        trainer: That of the run; its network has initial weights.
        loss: The loss to minimize.
        config: The training settings of the earlier run.
        train: The training rows, more than in that run.
        fitted: The result of that run: its best epoch, its rate and the weights of the paths.
        on_progress: Called after each update.
    """
    batches = Batches(train, config.batch_size, config.seed, balanced=config.sampling == "balanced")
    updates = _updates(batches, config, train)
    schedule = LearningRate(config.schedule, fitted.peak_rate, updates, config.warmup)
    trainer.restart(_averaging(config, updates), loss)
    epochs = (batches.epoch(number) for number in range(1, fitted.best.number + 1))
    made = min(fitted.best.number * len(batches), updates)
    rows = itertools.islice(itertools.chain.from_iterable(epochs), made)
    for update, batch in enumerate(tensors(train, rows, loss.row_weights)):
        trainer.update(batch, schedule.at(update))
        on_progress(Progress(update + 1, made))
    with trainer.averaged():
        weights = trainer.weights()
    trainer.set_weights(weights)
    if fitted.paths:
        trainer.scale_paths(fitted.paths)


def metric_of(config: TrainingConfig, loss: Loss) -> Metric:
    """The validation metric by which the best epoch is chosen."""
    if config.metric != "auto":
        return config.metric
    if loss.scale is not None:
        return "rmse"
    return "macro_f1" if loss.multi_label else "accuracy"


class _Run:
    """A training run; see `fit`."""

    def __init__(
        self,
        trainer: Trainer,
        config: TrainingConfig,
        train: Examples,
        validation: Examples,
        checkpoints: Checkpoints,
        on_progress: OnProgress,
        prior: Prior | None,
        remedy: str | None,
    ) -> None:
        self._remedy = remedy
        self._trainer, self._loss, self._config = trainer, trainer.loss, config
        self._prior = prior
        self._train, self._validation = train, validation
        self._checkpoints, self._on_progress = checkpoints, on_progress
        self._metric = metric_of(config, trainer.loss)
        self._batches = Batches(
            train, config.batch_size, config.seed, balanced=config.sampling == "balanced"
        )
        self._updates = _updates(self._batches, config, train)
        trainer.restart(_averaging(config, self._updates))
        self._state = TrainingState(peak=math.nan)
        self._best_weights: Arrays = []

    def run(self, *, resume: bool) -> Fitted:
        saved = self._checkpoints.load() if resume else None
        if saved:
            self._restore(saved)
            if saved.state.update == 0:
                self._checkpoints.keep_first()
        else:
            self._begin()
        while not self._state.finished:
            self._epoch()
        state = self._state
        if state.best is None:
            raise DivergedError("training ended without usable weights: no epoch was completed")
        self._trainer.set_weights(self._best_weights)
        factors: tuple[float, ...] = ()
        if self._trainer.separate_losses:
            factors = balance_paths(
                self._trainer,
                self._validation,
                multi_label=self._loss.multi_label,
                scale=self._loss.scale,
                prior=self._prior,
            )
            self._trainer.scale_paths(factors)
        return Fitted(
            epochs=tuple(state.epochs),
            best=state.best,
            metric=self._metric,
            rate_test=state.rate_test,
            findings=tuple(state.findings),
            peak_rate=state.peak,
            paths=factors,
        )

    def _begin(self) -> None:
        cost = Cost(guess=self._loss.guess)
        if self._config.learning_rate == "auto":
            numbers = (self._batches.epoch(epoch) for epoch in itertools.count(1))
            batches = self._tensors(itertools.chain.from_iterable(numbers))
            default = TrainingConfig.model_fields["learning_rate"].default
            test = range_test(self._trainer, batches, default=default)
            self._state = TrainingState(peak=test.chosen, rate_test=test, cost=cost)
            rate = f"training.learning_rate={test.chosen:.2g}"
            result = (
                f"chose {rate}"
                if test.found
                else f"no rate lowered the cost; using the default, {rate}"
            )
            self._report(f"learning-rate range test: {result}")
        else:
            self._state = TrainingState(peak=self._config.learning_rate, cost=cost)
        self._save()
        self._checkpoints.keep_first()

    def _epoch(self) -> None:
        """Trains an epoch, or the rest of one after a resume."""
        state, length = self._state, len(self._batches)
        number = state.update // length + 1
        rows = self._batches.epoch(number, skip=state.update % length)
        rate = math.nan
        for batch in self._tensors(itertools.islice(rows, self._updates - state.update)):
            rate = self._rate(state.update)
            state.cost.add(self._trainer.update(batch, rate), int(batch[0].shape[0]))
            state.update += 1
            self._on_progress(Progress(state.update, self._updates))
            if state.cost.diverges:
                self._recover()
                return
            # The last update of an epoch is saved by `_end_epoch`, with the epoch's metrics.
            ended = state.update % length == 0 or state.update == self._updates
            due = state.update % self._config.checkpoint_updates == 0
            if due and not ended and state.cost.is_good:
                self._save()
        if not (state.cost.is_good and self._end_epoch(number, rate)):
            self._recover()

    def _end_epoch(self, number: int, rate: float) -> bool:
        """Validates and keeps the weights if they are the best; False if the loss is not finite."""
        state, config = self._state, self._config
        with self._trainer.averaged():
            score = validate(
                self._trainer,
                self._validation,
                self._metric,
                multi_label=self._loss.multi_label,
                scale=self._loss.scale,
                prior=self._prior,
            )
            weights = self._trainer.weights()
        if not math.isfinite(score.loss):
            state.cost.add(score.loss)
            return False
        epoch = Epoch(
            number=number,
            updates=state.update,
            loss=state.cost.epoch_mean,
            validation_loss=score.loss,
            metric=score.metric,
            learning_rate=rate,
        )
        state.cost.end_epoch()
        state.epochs.append(epoch)
        if state.best is None or self._order(epoch) > self._order(state.best):
            state.best, state.waited, self._best_weights = epoch, 0, weights
        else:
            state.waited += 1
        state.finished = state.update >= self._updates or state.waited >= config.patience
        self._on_progress(Progress(state.update, self._updates, epoch, self._metric))
        self._diagnose(epoch)
        self._save()
        return True

    def _diagnose(self, epoch: Epoch) -> None:
        state = self._state
        first = state.cost.first
        if first is None:
            return
        reported = any(diagnosis.FLAT in finding for finding in state.findings)
        enough = epoch.updates >= _MIN_UPDATES_FLAT and (epoch.number > 1 or state.finished)
        # A path that is solved fits the training rows before the first update.
        solved = self._config.linear_path == "solved"
        start = max(first, state.cost.guess) if solved else first
        if self._remedy:
            # States that are saturated by large numbers give random logits, from which the cost
            # falls to that of guessing.
            start = min(first, state.cost.guess)
        # The training cost is with dropout, so the validation loss must be flat too.
        if not reported and enough and diagnosis.flatness(start, epoch.validation_loss, 1.0):
            flat = diagnosis.flatness(start, epoch.loss, state.peak)
            if flat:
                auto = self._config.learning_rate == "auto"
                remedy = self._remedy or (None if auto else "Try training.learning_rate=auto")
                self._report(f"{flat}. {remedy}" if remedy else flat)
        if state.finished:
            stopped = state.update < self._updates
            losses = [ended.loss for ended in state.epochs]
            metric, _ = self._order(epoch)
            best_was_last = all(metric > self._order(ended)[0] for ended in state.epochs[:-1])
            ending = diagnosis.ending(first, losses, stopped=stopped, best_was_last=best_was_last)
            if ending:
                self._report(ending)

    def _recover(self) -> None:
        """Restores the last good weights, or the first ones, and lowers the rate."""
        failed = self._state
        saved = self._checkpoints.load()
        if saved is None or failed.lowered >= _MAX_REDUCTIONS:
            self._checkpoints.discard()  # resuming from it would fail again
            raise DivergedError(
                f"training diverged at update {failed.update} with the learning rate "
                f"{failed.peak:.3g}, after {failed.lowered} reductions: "
                f"{self._remedy or 'try a smaller training.learning_rate, or training.clip_norm=1'}"
            )
        if saved.state.update == saved.state.restored:
            # A lower rate did not help with this checkpoint, so its weights are not good.
            saved = self._checkpoints.load_first() or saved
        peak = failed.peak * _RATE_REDUCTION
        self._restore(saved)
        state = self._state
        state.peak, state.lowered = peak, failed.lowered + 1
        state.restored, state.findings = state.update, failed.findings
        found = diagnosis.divergence(failed.update, failed.cost, failed.peak, peak)
        self._report(f"{found}. {self._remedy}" if self._remedy else found)
        self._save()

    def _restore(self, saved: Checkpoint) -> None:
        self._state, self._best_weights = saved.state, saved.best_weights
        try:
            if saved.best_weights:
                # They are set once training has ended, which would be late to see that they do not
                # fit.
                self._trainer.set_weights(saved.best_weights)
            self._trainer.restore(saved.variables)
        except ValueError:
            raise self._checkpoints.misfit() from None

    def _save(self) -> None:
        """Saves the run, unless the last update made the weights not finite."""
        variables = self._trainer.state()
        if all(np.isfinite(array).all() for array in variables if array.dtype.kind == "f"):
            self._checkpoints.save(Checkpoint(self._state, variables, self._best_weights))

    def _report(self, finding: str) -> None:
        self._state.findings.append(finding)
        self._on_progress(Finding(finding))

    def _rate(self, update: int) -> float:
        config = self._config
        rate = LearningRate(config.schedule, self._state.peak, self._updates, config.warmup)
        return rate.at(update)

    def _order(self, epoch: Epoch) -> tuple[float, float]:
        """A sort key of epochs: greater is better."""
        metric = -epoch.metric if self._metric in MINIMIZED else epoch.metric
        return metric, -epoch.validation_loss

    def _tensors(self, rows: Iterator[NDArray[np.int64]]) -> Iterator[Batch]:
        return tensors(self._train, rows, self._loss.row_weights)


def _updates(batches: Batches, config: TrainingConfig, train: Examples) -> int:
    """The updates of a run without early stopping."""
    updates = len(batches) * config.epochs_over(train.tokens)
    return updates if config.max_updates is None else min(updates, config.max_updates)


def _averaging(config: TrainingConfig, updates: int) -> float:
    """The momentum of the moving average of the weights.

    In a short run the average, over 1 / (1 - momentum) updates, must not include the first ones.
    """
    return min(config.averaging, max(0.0, 1 - 8 / updates))
