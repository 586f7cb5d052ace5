"""A network and its optimizer: one update, the logits of a batch, and the state as arrays.

With AdamW or Adam on one device, lookup tables are updated row by row (`sparse_optimizers`);
everything else is updated by Keras's optimizers.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gatewise.training.config.training_section import Optimizer, TrainingConfig
from gatewise.training.fit.loss import Loss
from gatewise.training.fit.sparse_optimizers import RowAdagrad, RowAdamW, sum_by_row
from gatewise.training.network.build import (
    input_name,
    lookup_tables,
    path_outputs,
    scale_paths,
)
from gatewise.vocab.tokenizer.encoding import ATTENTION_MASK

Arrays = list[NDArray[np.generic]]

_OPTIMIZERS: dict[Optimizer, type[keras.optimizers.Optimizer]] = {
    "adamw": keras.optimizers.AdamW,
    "adam": keras.optimizers.Adam,
    "sgd": keras.optimizers.SGD,
    "adagrad": keras.optimizers.Adagrad,
}

_BY_ROWS: frozenset[Optimizer] = frozenset({"adamw", "adam"})
"""Optimizers with which lookup tables are updated row by row."""


class Trainer:
    """A network in training.

    Attributes:
        model: The network.
        path_count: Number of paths, whose logits are summed.
        separate_losses: Whether there are several paths, each with its own loss.

    Args:
        model: From `gatewise.training.network.build`; it is trained on the devices of the strategy
            in whose scope it was built.
        loss: The loss to minimize.
        config: The training settings, whose momentum of the average is used without `restart`.
    """

    def __init__(self, model: keras.Model, loss: Loss, config: TrainingConfig) -> None:
        self.model = model
        self._paths = path_outputs(model)
        self._input = input_name(model)
        self.path_count = len(self._paths.outputs)
        self.separate_losses = self.path_count > 1 and config.paths == "apart"
        self.loss = loss
        self._strategy = model.distribute_strategy
        options: dict[str, Any] = {"use_ema": True} if config.averaging else {}
        if config.optimizer == "sgd":
            options["momentum"] = 0.9
        by_rows = config.optimizer in _BY_ROWS and self._strategy.num_replicas_in_sync == 1
        with self._strategy.scope():
            # A variable, so that another training needs no new graph.
            self._averaging = tf.Variable(config.averaging, trainable=False, dtype=tf.float32)
        averaging = self._averaging if config.averaging else None
        self._tables: dict[int, RowAdamW | RowAdagrad] = {}
        for table in lookup_tables(model) if by_rows else ():
            weights = table.weights.value
            self._tables[id(table.weights)] = (
                RowAdagrad(weights, averaging)
                if table.linear
                else RowAdamW(weights, averaging, config.weight_decay)
            )
        self._dense = [
            variable for variable in model.trainable_variables if id(variable) not in self._tables
        ]
        with self._strategy.scope():
            # This rate is never used: every update sets its own.
            self._optimizer = _OPTIMIZERS[config.optimizer](
                learning_rate=1e-3,
                weight_decay=config.weight_decay,
                **options,
            )
            self._optimizer.build(self._dense)
        self._optimizer.ema_momentum = self._averaging
        self._fresh_optimizer = _copies(self._optimizer.variables)
        self._clip_norm = config.clip_norm
        self._averaged = bool(config.averaging)
        self._variables = [
            *model.variables,
            *self._optimizer.variables,
            *(variable for table in self._tables.values() for variable in table.variables),
        ]
        self._traced: dict[tuple[bool, int], Any] = {}

    def restart(self, averaging: float, loss: Loss | None = None) -> None:
        """Begins a training from the weights as they are.

        Args:
            averaging: Momentum of the moving average of the weights, unless the settings have none.
            loss: The loss to minimize; None for the same.
        """
        self._averaging.assign(averaging)
        for variable, value in zip(self._optimizer.variables, self._fresh_optimizer, strict=True):
            variable.assign(value)
        for table in self._tables.values():
            table.restart()
        if loss is not None:
            self.loss = loss
            if loss.class_weights is not None:
                self._traced.clear()  # a graph has them as constants

    def update(self, batch: Sequence[tf.Tensor], rate: float) -> float:
        """Makes one update of the weights.

        Args:
            batch: From `gatewise.training.fit.dataset.tensors`.
            rate: The learning rate.

        Returns:
            The mean loss of the batch before the update, without smoothing and class weights: the
            weighted loss would vary with the labels of the batch. In a regression, less what the
            mean would cost in this batch and plus what it costs in all rows.
        """
        replicas = self._strategy.num_replicas_in_sync
        if replicas == 1:
            return float(self._function(batch, training=True)(*batch, np.float32(rate)))
        self._optimizer.learning_rate = rate
        batch = _divisible(batch, replicas)
        parts = tuple(
            self._strategy.experimental_distribute_values_from_function(
                lambda context, tensor=tensor: tensor[context.replica_id_in_sync_group :: replicas]
            )
            for tensor in batch
        )
        return float(self._function(batch, training=True)(*parts, np.float32(rate)))

    def path_logits(self, batch: Sequence[tf.Tensor]) -> list[NDArray[np.float32]]:
        """The logits of each path of the network, float32 `(batch, labels)` each."""
        return [logits.numpy() for logits in self._function(batch, training=False)(*batch)]

    def scale_paths(self, factors: Sequence[float]) -> None:
        """Multiplies the logits of each path by a factor, in its weights."""
        scale_paths(self.model, factors)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """A context in which the network has the averaged weights."""
        if not self._averaged:
            yield
            return
        weights = self.weights()
        self._optimizer.finalize_variable_values(self._dense)
        made = tf.cast(self._optimizer.iterations.value, tf.int32)
        for variable in self.model.trainable_variables:
            if id(variable) in self._tables:
                variable.assign(self._tables[id(variable)].averaged(made))
        try:
            yield
        finally:
            self.set_weights(weights)

    def weights(self) -> Arrays:
        """A copy of the trainable weights."""
        return _copies(self.model.trainable_variables)

    def set_weights(self, weights: Arrays) -> None:
        """Sets the trainable weights.

        Raises:
            ValueError: If they are not as many, or not of the same shapes.
        """
        for variable, value in zip(self.model.trainable_variables, weights, strict=True):
            variable.assign(value)

    def state(self) -> Arrays:
        """A copy of all variables: weights, optimizer moments, random states."""
        return _copies(self._variables)

    def restore(self, state: Arrays) -> None:
        """Restores a state.

        Raises:
            ValueError: If its arrays are not as many, or not of the same shapes.
        """
        for variable, value in zip(self._variables, state, strict=True):
            variable.assign(value)

    def _function(self, batch: Sequence[tf.Tensor], *, training: bool) -> Any:
        """The update, or the logits, compiled once for batches of every size and length."""
        kind = (training, len(batch[2].shape))
        if kind not in self._traced:
            function = self._traced_update if training else self._traced_logits
            specs = [_any_size(part) for part in batch]
            if training:
                specs.append(tf.TensorSpec([], tf.float32))
            # Per-replica values cannot have an input signature.
            several = training and self._strategy.num_replicas_in_sync > 1
            self._traced[kind] = tf.function(
                function,
                input_signature=None if several else specs,
                autograph=False,
                reduce_retracing=True,
            )
        return self._traced[kind]

    def _traced_update(self, *arguments: Any) -> Any:
        *batch, rate = arguments

        def step(ids: Any, attention_mask: Any, targets: Any, weights: Any) -> Any:
            inputs = {self._input: ids, ATTENTION_MASK: attention_mask}
            variables = self.model.trainable_variables
            with tf.GradientTape() as tape:
                by_path = _as_list(self._paths(inputs, training=True))
                logits = tf.add_n(by_path)
                if self.separate_losses and (self.loss.scale is not None or self.loss.multi_label):
                    # Each path predicts the number, or the log-odds of the labels, by itself: their
                    # sum would be a multiple of it.
                    logits /= len(by_path)
                losses = [
                    self.loss.per_text(part, targets, smoothed=True)
                    for part in (by_path if self.separate_losses else [logits])
                ]
                loss = tf.reduce_sum(tf.add_n(losses) * weights)
            if self._strategy.num_replicas_in_sync == 1:
                # Inside the graph, which saves a call.
                self._optimizer.learning_rate.assign(rate)
            self._apply(tape.gradient(loss, variables), variables, tf.shape(ids)[0])
            # Only the rows that fill up a batch have no weight.
            real = tf.cast(weights > 0, tf.float32)
            plain = self.loss.per_text(logits, targets, smoothed=False)
            if self.loss.scale is not None:
                # What a number far from the others costs, whatever is predicted, is no divergence.
                mean = self.loss.per_text(tf.zeros_like(logits), targets, smoothed=False)
                plain += self.loss.guess - mean
            return tf.reduce_sum(plain * real), tf.reduce_sum(real)

        total, rows = self._strategy.run(step, args=tuple(batch))
        total = self._strategy.reduce(tf.distribute.ReduceOp.SUM, total, axis=None)
        return total / self._strategy.reduce(tf.distribute.ReduceOp.SUM, rows, axis=None)

    def _apply(self, gradients: list[Any], variables: list[Any], texts: Any) -> None:
        """Updates the weights: lookup tables row by row, the others by the Keras optimizer."""
        tables, rows, row_gradients = [], [], []
        dense, dense_gradients = [], []
        for variable, gradient in zip(variables, gradients, strict=True):
            if id(variable) in self._tables:
                tables.append(self._tables[id(variable)])
                updated, summed = sum_by_row(gradient)
                rows.append(updated)
                row_gradients.append(summed)
            else:
                dense.append(variable)
                dense_gradients.append(gradient)
        if self._clip_norm is not None:
            clipped = self._clip([*dense_gradients, *row_gradients])
            dense_gradients, row_gradients = clipped[: len(dense)], clipped[len(dense) :]
        made = tf.cast(self._optimizer.iterations.value, tf.int32)
        rate = tf.cast(self._optimizer.learning_rate, tf.float32)
        for table, updated, gradient in zip(tables, rows, row_gradients, strict=True):
            if isinstance(table, RowAdagrad):
                table.update(updated, gradient, rate, made, tf.cast(texts, tf.float32))
            else:
                table.update(updated, gradient, rate, made)
        if self._strategy.num_replicas_in_sync > 1:
            self._optimizer.apply(dense_gradients, dense)
            return
        # Keras sums gradients over replicas, be it one, unless it is called across them. TensorFlow
        # would keep the gradient of that sum, and this graph, as long as the process lives.
        tf.distribute.get_replica_context().merge_call(
            lambda _: self._optimizer.apply(dense_gradients, dense)
        )

    def _clip(self, gradients: list[Any]) -> list[Any]:
        """Clips gradients by their global norm over all weights and all replicas."""
        # A sparse gradient may have several entries for a row; a dense one has their sum.
        dense = [tf.convert_to_tensor(gradient) for gradient in gradients]
        replicas = self._strategy.num_replicas_in_sync
        if replicas > 1:
            context = tf.distribute.get_replica_context()
            dense = context.all_reduce(tf.distribute.ReduceOp.SUM, dense)
        clipped, _ = tf.clip_by_global_norm(dense, self._clip_norm)
        # The optimizer sums the gradients of the replicas.
        return [part / replicas for part in clipped]

    def _traced_logits(self, ids: Any, attention_mask: Any, targets: Any, weights: Any) -> Any:
        del targets, weights
        inputs = {self._input: ids, ATTENTION_MASK: attention_mask}
        return _as_list(self._paths(inputs, training=False))


def _as_list(logits: Any) -> list[Any]:
    """The outputs of a model as a list, also if it has a single one."""
    return list(logits) if isinstance(logits, list | tuple) else [logits]


def _any_size(part: tf.Tensor) -> tf.TensorSpec:
    """The specification of a part of a batch: rows, tokens and steps vary, labels do not."""
    sizes = part.shape[1:] if part.dtype == tf.float32 else [None] * (len(part.shape) - 1)
    if len(part.shape) == 3:  # numbers
        sizes = [None, part.shape[2]]
    return tf.TensorSpec([None, *sizes], part.dtype)


def _copies(variables: Sequence[Any]) -> Arrays:
    return [np.array(tf.convert_to_tensor(variable).numpy()) for variable in variables]


def _divisible(batch: Sequence[tf.Tensor], parts: int) -> tuple[tf.Tensor, ...]:
    """A batch filled up to a multiple of `parts` with rows of weight zero."""
    missing = -int(batch[0].shape[0]) % parts
    if not missing:
        return tuple(batch)
    *columns, weights = batch
    filled = [tf.concat([column, tf.repeat(column[:1], missing, axis=0)], 0) for column in columns]
    return (*filled, tf.concat([weights, tf.zeros([missing], weights.dtype)], 0))
