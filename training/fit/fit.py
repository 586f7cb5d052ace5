"""Fitting: updates over epochs, validation after each, the best weights kept.

A run is watched as it goes: where its cost diverges, the last good weights are put back and the
learning rate is lowered. Its whole state is in its checkpoint, so that one that was killed goes on
to the same bytes. Knows nothing of texts or of ONNX.
"""

import itertools
import math
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf
from gatewise.training.config.training_section import Metric, TrainingConfig
from gatewise.training.data.examples import Examples
from gatewise.training.fit import diagnosis
from gatewise.training.fit.checkpoint import Checkpoint, Checkpoints, TrainingState
from gatewise.training.fit.dataset import Batch, Batches, tensors
from gatewise.training.fit.loss import Objective
from gatewise.training.fit.lr_range_test import range_test
from gatewise.training.fit.progress import Epoch, Finding, Fitted, OnProgress, Progress
from gatewise.training.fit.schedule import LearningRate
from gatewise.training.fit.train_step import Arrays, Learner
from gatewise.training.fit.validation import balance_paths, validate
from gatewise.vocab.errors import GatewiseError
from numpy.typing import NDArray

_LOWERED = 0.1
"""What the learning rate is multiplied by after the cost diverged."""

_MOST_LOWERED = 8
"""Times that is done before the run is given up."""

_FLAT_UPDATES = 30
"""Updates that a cost is given before it is called flat."""


class DivergedError(GatewiseError):
    """The cost grew past every bound, however low the learning rate."""


def fit(
    model: keras.Model,
    objective: Objective,
    config: TrainingConfig,
    train: Examples,
    validation: Examples,
    checkpoints: Checkpoints,
    on_progress: OnProgress,
    *,
    resume: bool = False,
) -> Fitted:
    """Trains a network and leaves the weights of its best epoch in it.

    The best epoch is the one with the best validation metric; of equal ones, that with the lower
    validation loss. Deterministic: the same model, rows and seed give the same weights, bit for
    bit, on one machine, whether or not the run was interrupted.

    Args:
        model: From `gatewise.training.network.build.build`, made in the strategy's scope.
        objective: What is minimized.
        config: How to train.
        train: Rows to learn from.
        validation: Rows to choose the epoch by.
        checkpoints: Where the run's state is kept while it lasts.
        on_progress: Called after each update and each epoch, and for each finding.
        resume: Whether to go on from the checkpoint, if there is one.

    Raises:
        DivergedError: If the cost grows past every bound at the lowest rate tried.
        CheckpointError: If the run is to go on from a checkpoint that does not fit.
    """
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    run = _Run(
        model,
        objective,
        config,
        train,
        validation,
        checkpoints,
        on_progress,
    )
    return run.run(resume=resume)


def metric_of(config: TrainingConfig, *, multi_label: bool) -> Metric:
    """The validation metric that the best epoch is chosen by."""
    if config.metric != "auto":
        return config.metric
    return "macro_f1" if multi_label else "accuracy"


class _Run:
    """One run of fitting; see `fit` for what it is made of."""

    def __init__(
        self,
        model: keras.Model,
        objective: Objective,
        config: TrainingConfig,
        train: Examples,
        validation: Examples,
        checkpoints: Checkpoints,
        on_progress: OnProgress,
    ) -> None:
        self._objective, self._config = objective, config
        self._train, self._validation = train, validation
        self._checkpoints, self._on_progress = checkpoints, on_progress
        self._metric = metric_of(config, multi_label=objective.multi_label)
        self._batches = Batches(
            train, config.batch_size, config.seed, balanced=config.sampling == "balanced"
        )
        self._updates = len(self._batches) * config.epochs_over(train.tokens)
        if config.max_updates is not None:
            self._updates = min(self._updates, config.max_updates)
        # The average over 1 / (1 - momentum) updates must not reach back to where a short run
        # began.
        averaging = min(config.averaging, max(0.0, 1 - 8 / self._updates))
        self._learner = Learner(model, objective, config, averaging)
        self._standing = TrainingState(peak=math.nan)
        self._best: Arrays = []

    def run(self, *, resume: bool) -> Fitted:
        saved = self._checkpoints.load() if resume else None
        if saved:
            self._go_back(saved)
            if saved.standing.update == 0:
                self._checkpoints.keep_first()
        else:
            self._begin()
        while not self._standing.finished:
            self._epoch()
        standing = self._standing
        if standing.best is None:
            raise DivergedError("training ended before any epoch gave weights that can be used")
        self._learner.set_weights(self._best)
        factors: tuple[float, ...] = ()
        if self._learner.apart:
            factors = balance_paths(
                self._learner, self._validation, multi_label=self._objective.multi_label
            )
            self._learner.weigh_paths(factors)
        return Fitted(
            epochs=tuple(standing.epochs),
            best=standing.best,
            metric=self._metric,
            rate_test=standing.rate_test,
            findings=tuple(standing.findings),
            paths=factors,
        )

    def _begin(self) -> None:
        if self._config.learning_rate == "auto":
            numbers = (self._batches.epoch(epoch) for epoch in itertools.count(1))
            batches = self._batches_of(itertools.chain.from_iterable(numbers))
            default = TrainingConfig.model_fields["learning_rate"].default
            test = range_test(self._learner, batches, otherwise=default)
            self._standing = TrainingState(peak=test.chosen, rate_test=test)
            rate = f"training.learning_rate={test.chosen:.2g}"
            what = (
                f"{rate} suits these rows" if test.found else f"no cost fell: {rate}, the default"
            )
            self._find(f"range test: {what}")
        else:
            self._standing = TrainingState(peak=self._config.learning_rate)
        self._save()
        self._checkpoints.keep_first()

    def _epoch(self) -> None:
        """One pass over the rows, or what is left of it."""
        standing, length = self._standing, len(self._batches)
        number = standing.update // length + 1
        rows = self._batches.epoch(number, skip=standing.update % length)
        rate = math.nan
        for batch in self._batches_of(itertools.islice(rows, self._updates - standing.update)):
            rate = self._rate(standing.update)
            standing.cost.add(self._learner.update(batch, rate), int(batch[0].shape[0]))
            standing.update += 1
            self._on_progress(Progress(standing.update, self._updates))
            if standing.cost.diverges:
                self._recover()
                return
            # An epoch's last update is saved with its figures, or they would be missed later.
            ended = standing.update % length == 0 or standing.update == self._updates
            due = standing.update % self._config.checkpoint_updates == 0
            if due and not ended and standing.cost.is_good:
                self._save()
        if not (standing.cost.is_good and self._end_epoch(number, rate)):
            self._recover()

    def _end_epoch(self, number: int, rate: float) -> bool:
        """Validates, and keeps the weights if they are the best; False if they are of no use."""
        standing, config = self._standing, self._config
        with self._learner.averaged():
            figures = validate(
                self._learner,
                self._validation,
                self._metric,
                multi_label=self._objective.multi_label,
            )
            weights = self._learner.weights()
        if not math.isfinite(figures.loss):
            standing.cost.add(figures.loss)
            return False
        epoch = Epoch(
            number=number,
            updates=standing.update,
            loss=standing.cost.epoch_mean,
            validation_loss=figures.loss,
            metric=figures.metric,
            learning_rate=rate,
        )
        standing.cost.end_epoch()
        standing.epochs.append(epoch)
        if standing.best is None or self._order(epoch) > self._order(standing.best):
            standing.best, standing.waited, self._best = epoch, 0, weights
        else:
            standing.waited += 1
        standing.finished = standing.update >= self._updates or standing.waited >= config.patience
        self._on_progress(Progress(standing.update, self._updates, epoch, self._metric))
        self._diagnose(epoch)
        self._save()
        return True

    def _diagnose(self, epoch: Epoch) -> None:
        standing = self._standing
        first = standing.cost.first
        if first is None:
            return
        told = any(diagnosis.FLAT in finding for finding in standing.findings)
        enough = epoch.updates >= _FLAT_UPDATES and (epoch.number > 1 or standing.finished)
        # The cost of training is that with dropout: what validation says counts too.
        if not told and enough and diagnosis.flatness(first, epoch.validation_loss, 1.0):
            flat = diagnosis.flatness(first, epoch.loss, standing.peak)
            if flat:
                auto = self._config.learning_rate == "auto"
                self._find(flat if auto else f"{flat}. Try training.learning_rate=auto")
        if standing.finished:
            stopped = standing.update < self._updates
            losses = [ended.loss for ended in standing.epochs]
            ending = diagnosis.ending(first, losses, stopped=stopped)
            if ending:
                self._find(ending)

    def _recover(self) -> None:
        """Goes back to the last good weights, or the first ones, and lowers the rate."""
        failed = self._standing
        saved = self._checkpoints.load()
        if saved is None or failed.lowered >= _MOST_LOWERED:
            self._checkpoints.discard()  # going on from there would only fail again
            raise DivergedError(
                f"training diverged at update {failed.update} with the learning rate "
                f"{failed.peak:.3g}, after {failed.lowered} times lower: try a smaller "
                "training.learning_rate, or training.clip_norm=1"
            )
        if saved.standing.update == saved.standing.restored:
            # A lower rate did not help from there on: those weights only seemed to be good.
            saved = self._checkpoints.load_first() or saved
        told = diagnosis.divergence(failed.update, failed.cost, failed.peak, failed.peak * _LOWERED)
        self._go_back(saved)
        standing = self._standing
        standing.peak, standing.lowered = failed.peak * _LOWERED, failed.lowered + 1
        standing.restored, standing.findings = standing.update, failed.findings
        self._find(told)
        self._save()

    def _go_back(self, saved: Checkpoint) -> None:
        self._standing, self._best = saved.standing, saved.best
        self._learner.restore(saved.state)

    def _save(self) -> None:
        """Saves the run, unless the update since its last cost was known broke the weights."""
        state = self._learner.state()
        if all(np.isfinite(array).all() for array in state if array.dtype.kind == "f"):
            self._checkpoints.save(Checkpoint(self._standing, state, self._best))

    def _find(self, finding: str) -> None:
        self._standing.findings.append(finding)
        self._on_progress(Finding(finding))

    def _rate(self, update: int) -> float:
        config = self._config
        rate = LearningRate(config.schedule, self._standing.peak, self._updates, config.warmup)
        return rate.at(update)

    def _order(self, epoch: Epoch) -> tuple[float, float]:
        """Greater is better."""
        metric = -epoch.metric if self._metric == "loss" else epoch.metric
        return metric, -epoch.validation_loss

    def _batches_of(self, rows: Iterator[NDArray[np.int64]]) -> Iterator[Batch]:
        return tensors(self._train, rows, self._objective.row_weights)
