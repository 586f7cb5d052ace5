"""A network and its optimizer: one update, the network's answers, and their whole state as arrays.

Tables of which a batch looks up a few rows are updated row by row where Adam is the optimizer and
one device trains; everything else by Keras's optimizers. Knows Keras and batches; knows neither
epochs nor files.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from gatewise.training.config.training_section import Optimizer, TrainingConfig
from gatewise.training.fit.loss import Objective
from gatewise.training.fit.sparse_optimizers import RowAdagrad, RowAdamW, looked_up
from gatewise.training.network.build import paths, tables, weigh_paths
from numpy.typing import NDArray

Arrays = list[NDArray[np.generic]]

_OPTIMIZERS: dict[Optimizer, type[keras.optimizers.Optimizer]] = {
    "adamw": keras.optimizers.AdamW,
    "adam": keras.optimizers.Adam,
    "sgd": keras.optimizers.SGD,
    "adagrad": keras.optimizers.Adagrad,
}


_BY_ROWS: frozenset[Optimizer] = frozenset({"adamw", "adam"})
"""Optimizers whose updates of tables are made row by row."""


class Learner:
    """A network being trained.

    Attributes:
        model: The network.
        paths: How many paths it has, whose logits are added.
        apart: Whether each of several learns by itself.

    Args:
        model: From `gatewise.training.network.build`; it is trained on the devices of the strategy
        in
            whose scope it was made.
        objective: What is minimized.
        config: The optimizer's settings.
        averaging: Momentum of the moving average of the weights; 0 for none.
    """

    def __init__(
        self,
        model: keras.Model,
        objective: Objective,
        config: TrainingConfig,
        averaging: float,
    ) -> None:
        self.model = model
        self._paths = paths(model)
        self.paths = len(self._paths.outputs)
        self.apart = self.paths > 1 and config.paths == "apart"
        self._objective = objective
        self._strategy = model.distribute_strategy
        options: dict[str, Any] = {"use_ema": True, "ema_momentum": averaging} if averaging else {}
        if config.optimizer == "sgd":
            options["momentum"] = 0.9
        by_rows = config.optimizer in _BY_ROWS and self._strategy.num_replicas_in_sync == 1
        self._tables: dict[int, RowAdamW | RowAdagrad] = {}
        for table in tables(model) if by_rows else ():
            weights = table.weights.value
            self._tables[id(table.weights)] = (
                RowAdagrad(weights, averaging)
                if table.linear
                else RowAdamW(weights, averaging, config.weight_decay)
            )
        self._dense = [one for one in model.trainable_variables if id(one) not in self._tables]
        with self._strategy.scope():
            # The rate here is never used: every update sets its own.
            self._optimizer = _OPTIMIZERS[config.optimizer](
                learning_rate=1e-3,
                weight_decay=config.weight_decay,
                **options,
            )
            self._optimizer.build(self._dense)
        self._clip_norm = config.clip_norm
        self._averaged = bool(averaging)
        self._variables = [
            *model.variables,
            *self._optimizer.variables,
            *(variable for rows in self._tables.values() for variable in rows.variables),
        ]
        self._traced: dict[tuple[bool, int], Any] = {}

    def update(self, batch: Sequence[tf.Tensor], rate: float) -> float:
        """Makes one update of the weights.

        Args:
            batch: From `gatewise.training.fit.dataset.tensors`.
            rate: The learning rate.

        Returns:
            The mean loss of the batch before the update, its targets and labels as they are,
            neither smoothed nor weighted: what is minimized may differ from batch to batch by the
            labels that are in it.
        """
        replicas = self._strategy.num_replicas_in_sync
        if replicas == 1:
            return float(self._function(batch, training=True)(*batch, np.float32(rate)))
        self._optimizer.learning_rate = rate
        batch = _divisible(batch, replicas)
        parts = tuple(
            self._strategy.experimental_distribute_values_from_function(
                lambda context, whole=whole: whole[context.replica_id_in_sync_group :: replicas]
            )
            for whole in batch
        )
        return float(self._function(batch, training=True)(*parts, np.float32(rate)))

    def answer(self, batch: Sequence[tf.Tensor]) -> list[NDArray[np.float32]]:
        """Logits of a batch by each path of the network, float32 `(batch, labels)` each."""
        return [logits.numpy() for logits in self._function(batch, training=False)(*batch)]

    def weigh_paths(self, factors: Sequence[float]) -> None:
        """Multiplies the logits of each path by a number, in its weights."""
        weigh_paths(self.model, factors)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Has the averaged weights in the network for as long as the block lasts."""
        if not self._averaged:
            yield
            return
        weights = self.weights()
        self._optimizer.finalize_variable_values(self._dense)
        made = tf.cast(self._optimizer.iterations.value, tf.int32)
        for one in self.model.trainable_variables:
            if id(one) in self._tables:
                one.assign(self._tables[id(one)].averaged(made))
        try:
            yield
        finally:
            self.set_weights(weights)

    def weights(self) -> Arrays:
        """A copy of the weights that are trained."""
        return _copies(self.model.trainable_variables)

    def set_weights(self, weights: Arrays) -> None:
        """Puts weights that are trained in their places."""
        for variable, value in zip(self.model.trainable_variables, weights, strict=True):
            variable.assign(value)

    def state(self) -> Arrays:
        """A copy of everything that changes: weights, the optimizer's moments, random states."""
        return _copies(self._variables)

    def restore(self, state: Arrays) -> None:
        """Puts a state back, exactly."""
        for variable, value in zip(self._variables, state, strict=True):
            variable.assign(value)

    def _function(self, batch: Sequence[tf.Tensor], *, training: bool) -> Any:
        """The update, or the answer, compiled once for batches of every size and length."""
        kind = (training, len(batch[2].shape))
        if kind not in self._traced:
            function = self._traced_update if training else self._traced_answer
            specs = [_any_size(part) for part in batch]
            if training:
                specs.append(tf.TensorSpec([], tf.float32))
            # Values of several replicas have no signature of their own.
            several = training and self._strategy.num_replicas_in_sync > 1
            self._traced[kind] = tf.function(
                function, input_signature=None if several else specs, reduce_retracing=True
            )
        return self._traced[kind]

    def _traced_update(self, *given: Any) -> Any:
        *batch, rate = given

        def step(input_ids: Any, attention_mask: Any, targets: Any, weights: Any) -> Any:
            inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
            variables = self.model.trainable_variables
            with tf.GradientTape() as tape:
                parts = _listed(self._paths(inputs, training=True))
                logits = tf.add_n(parts)
                learning = parts if self.apart else [logits]
                losses = [self._objective.losses(one, targets, smoothed=True) for one in learning]
                loss = tf.reduce_sum(tf.add_n(losses) * weights)
            if self._strategy.num_replicas_in_sync == 1:
                # In the graph, where it takes no call of its own.
                self._optimizer.learning_rate.assign(rate)
            self._apply(tape.gradient(loss, variables), variables, tf.shape(input_ids)[0])
            # Rows that only fill a batch up count nothing, and no others do.
            real = tf.cast(weights > 0, tf.float32)
            plain = self._objective.losses(logits, targets, smoothed=False)
            return tf.reduce_sum(plain * real), tf.reduce_sum(real)

        total, rows = self._strategy.run(step, args=tuple(batch))
        add = tf.distribute.ReduceOp.SUM
        total = self._strategy.reduce(add, total, axis=None)
        return total / self._strategy.reduce(add, rows, axis=None)

    def _apply(self, gradients: list[Any], variables: list[Any], texts: Any) -> None:
        """Updates every weight, the tables' row by row."""
        pairs = list(zip(variables, gradients, strict=True))
        updates = [self._tables[id(one)] for one, _ in pairs if id(one) in self._tables]
        found = [looked_up(gradient) for one, gradient in pairs if id(one) in self._tables]
        dense = [(one, gradient) for one, gradient in pairs if id(one) not in self._tables]
        others, of_others = (list(side) for side in zip(*dense, strict=True))
        of_rows = [gradient for _, gradient in found]
        if self._clip_norm is not None:
            clipped = self._clipped([*of_others, *of_rows])
            of_others, of_rows = clipped[: len(others)], clipped[len(others) :]
        made = tf.cast(self._optimizer.iterations.value, tf.int32)
        rate = tf.cast(self._optimizer.learning_rate, tf.float32)
        for table, (rows, _), gradient in zip(updates, found, of_rows, strict=True):
            if isinstance(table, RowAdagrad):
                table.update(rows, gradient, rate, made, tf.cast(texts, tf.float32))
            else:
                table.update(rows, gradient, rate, made)
        self._optimizer.apply(of_others, others)

    def _clipped(self, gradients: list[Any]) -> list[Any]:
        """Gradients scaled down to the norm, taken over all weights and all replicas."""
        # A table's gradient may have a row for each token, also where one stands there twice.
        dense = [tf.convert_to_tensor(gradient) for gradient in gradients]
        replicas = self._strategy.num_replicas_in_sync
        if replicas > 1:
            context = tf.distribute.get_replica_context()
            dense = context.all_reduce(tf.distribute.ReduceOp.SUM, dense)
        clipped, _ = tf.clip_by_global_norm(dense, self._clip_norm)
        # The optimizer adds up what its replicas have.
        return [part / replicas for part in clipped]

    def _traced_answer(
        self, input_ids: Any, attention_mask: Any, targets: Any, weights: Any
    ) -> Any:
        del targets, weights
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        return _listed(self._paths(inputs, training=False))


def _listed(logits: Any) -> list[Any]:
    """What a network answers with, also where it has a single path."""
    return list(logits) if isinstance(logits, list | tuple) else [logits]


def _any_size(part: tf.Tensor) -> tf.TensorSpec:
    """What a part of every batch is like: rows and tokens differ, the number of labels does not."""
    labels = part.shape[1:] if part.dtype == tf.float32 else [None] * (len(part.shape) - 1)
    return tf.TensorSpec([None, *labels], part.dtype)


def _copies(variables: Sequence[Any]) -> Arrays:
    return [np.array(tf.convert_to_tensor(variable).numpy()) for variable in variables]


def _divisible(batch: Sequence[tf.Tensor], parts: int) -> tuple[tf.Tensor, ...]:
    """A batch filled up to a multiple of parts with rows that count nothing."""
    missing = -int(batch[0].shape[0]) % parts
    if not missing:
        return tuple(batch)
    *columns, weights = batch
    filled = [tf.concat([column, tf.repeat(column[:1], missing, axis=0)], 0) for column in columns]
    return (*filled, tf.concat([weights, tf.zeros([missing], weights.dtype)], 0))
