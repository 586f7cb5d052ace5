"""Fitting: updates over epochs, validation after each, the best weights kept.

Knows Keras and the settings of `TrainingConfig`; knows nothing of texts or of ONNX.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import keras
import tensorflow as tf

from training.dataset import Examples, dataset
from training.settings.training import TrainingConfig
from vocab.errors import GatewiseError

_WARMUP_SHARE = 0.1
"""Share of all updates over which the learning rate rises to its peak."""


class DivergedError(GatewiseError):
    """The loss grew past every bound; weights that give such a loss are of no use."""

    def __init__(self, epoch: int) -> None:
        super().__init__(
            f"training diverged: the loss is no longer a finite number in epoch {epoch}; lower "
            "training.learning_rate"
        )


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave.

    Attributes:
        number: Counted from one.
        loss: Mean cross-entropy over the training rows, in nats.
        validation_loss: The same over the validation rows.
        validation_accuracy: Share of validation rows whose label was right.
    """

    number: int
    loss: float
    validation_loss: float
    validation_accuracy: float


@dataclass(frozen=True)
class Progress:
    """Where a run stands, for a progress bar.

    Attributes:
        step: Updates made.
        steps: Updates that a run without early stopping makes.
        epoch: The epoch that just ended, if one did.
    """

    step: int
    steps: int
    epoch: Epoch | None = None


@dataclass(frozen=True)
class Fitted:
    """What fitting gave; the model now holds the best weights.

    Attributes:
        epochs: Every epoch that was run.
        best: The epoch whose weights were kept.
    """

    epochs: tuple[Epoch, ...]
    best: Epoch


def fit(
    model: keras.Model,
    config: TrainingConfig,
    train: Examples,
    validation: Examples,
    on_progress: Callable[[Progress], None],
) -> Fitted:
    """Trains a network and leaves the weights of its best epoch in it.

    The best epoch is the first with the highest validation accuracy. Deterministic: the same
    model, rows and seed give the same weights, bit for bit, on one machine.

    Args:
        model: From `training.network.build`; it is compiled here.
        config: How to train.
        train: Rows to learn from.
        validation: Rows to choose the epoch by.
        on_progress: Called after each update and each epoch.

    Raises:
        DivergedError: If the loss is no longer a finite number.
    """
    tf.config.experimental.enable_op_determinism()
    steps_per_epoch = math.ceil(len(train) / config.batch_size)
    steps = steps_per_epoch * config.epochs
    warmup = max(1, round(steps * _WARMUP_SHARE))
    rate = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=max(1, steps - warmup),
        warmup_target=config.learning_rate,
        warmup_steps=warmup,
    )
    # The average over 1 / (1 - momentum) updates must not reach back to where a short run began.
    momentum = min(config.averaging, max(0.0, 1 - 8 / steps))
    averaging = {"use_ema": True, "ema_momentum": momentum} if momentum else {}
    model.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=config.weight_decay, **averaging),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    recorder = _Recorder(steps, on_progress)
    stopping = keras.callbacks.EarlyStopping(
        monitor="val_accuracy", mode="max", patience=config.patience, restore_best_weights=True
    )
    # The order matters: the averaged weights must be in the model when the best ones are copied.
    swap = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if momentum else []
    model.fit(
        dataset(train, config.batch_size, config.seed),
        validation_data=dataset(validation, config.batch_size, seed=None),
        epochs=config.epochs,
        callbacks=[*swap, stopping, recorder],
        shuffle=False,  # the dataset shuffles
        verbose=0,
    )
    return Fitted(tuple(recorder.epochs), recorder.epochs[stopping.best_epoch])


class _Recorder(keras.callbacks.Callback):
    """Keeps the figures of each epoch and tells the caller how far the run is."""

    def __init__(self, steps: int, on_progress: Callable[[Progress], None]) -> None:
        super().__init__()
        self.epochs: list[Epoch] = []
        self._steps = steps
        self._on_progress = on_progress
        self._step = 0

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:  # noqa: ARG002
        self._step += 1
        self._on_progress(Progress(self._step, self._steps))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        figures = logs or {}
        if not math.isfinite(figures["loss"] + figures["val_loss"]):
            raise DivergedError(epoch + 1)
        ended = Epoch(
            number=epoch + 1,
            loss=float(figures["loss"]),
            validation_loss=float(figures["val_loss"]),
            validation_accuracy=float(figures["val_accuracy"]),
        )
        self.epochs.append(ended)
        self._on_progress(Progress(self._step, self._steps, ended))
