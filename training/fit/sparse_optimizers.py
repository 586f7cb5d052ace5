"""Optimizers that update only the rows of a table that a batch has gathered.

An embedding or n-gram table has a row for every entry of a vocabulary, and a batch gathers a few
hundred of them. The gradient of every other row is zero, but a dense optimizer still reads and
writes the entire table, which dominates the training time with a large vocabulary or many labels.
Here the cost of an update depends on the gathered rows only.

`RowAdamW` is for tables whose rows are inputs of further layers. The moments of a row do not change
while no batch gathers it ("LazyAdam" in other libraries). `RowAdagrad` is for tables whose rows are
summed to logits. Adam makes the steps of a rare row as large as those of a frequent one, so that a
linear model memorizes its rare n-grams. Plain gradient descent with early stopping acts like an L2
penalty instead, but diverges on frequent rows. Adagrad with a large initial sum of squares behaves
like gradient descent on rare rows and like Adam on frequent ones.

The moving average of a row that was not gathered for k updates is updated k times at once, so that
it equals that of `keras.optimizers` with `use_ema`.
"""

import math
from typing import Any

import tensorflow as tf

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7
"""Adam's parameters (Kingma and Ba 2015), with Keras's values."""

_ADAGRAD_RATE = 5.0
"""Adagrad's rate for a new row, as a multiple of Adam's learning rate."""

_INITIAL_SQUARES = 30.0
"""Initial value of Adagrad's sum of squares: the gradients of about twenty texts of a row."""


class _RowOptimizer:
    """A table whose rows are updated, and their moving average.

    Args:
        table: A variable, float32 `(rows, width)`.
        averaging: Momentum of the moving average of the weights, a float32 variable; None for none.
    """

    def __init__(self, table: tf.Variable, averaging: tf.Variable | None) -> None:
        self._table = table
        self._averaging = averaging
        self._average = None
        if averaging is not None:
            self._average = tf.Variable(table.read_value(), trainable=False)
        # The number of updates made when a row's average was last updated.
        self._averaged_at = tf.Variable(tf.zeros(table.shape[0], tf.int32), trainable=False)

    @property
    def variables(self) -> list[tf.Variable]:
        """Every variable that changes, except for the table."""
        return [] if self._average is None else [self._average, self._averaged_at]

    def restart(self) -> None:
        """Sets every variable to its value before the first update of the table as it is."""
        if self._average is not None:
            self._average.assign(self._table)
            self._averaged_at.assign(tf.zeros_like(self._averaged_at))

    def averaged(self, made: Any) -> Any:
        """The moving average of every row, float32 `(rows, width)`.

        Args:
            made: Updates made, int32.
        """
        if self._average is None:
            return self._table.read_value()
        skipped = tf.cast(made - self._averaged_at, tf.float32)
        return _moving_average(self._average, self._table, self._averaging, skipped[:, None])

    def _replace(self, rows: Any, before: Any, after: Any, made: Any) -> None:
        """Stores updated rows and updates their average."""
        _assign_rows(self._table, rows, after)
        if self._average is None:
            return
        skipped = tf.cast(made - tf.gather(self._averaged_at, rows), tf.float32)
        average = _moving_average(
            tf.gather(self._average, rows), before, self._averaging, skipped[:, None]
        )
        # The first update of a run resets the average, as in Keras.
        momentum = tf.where(made > 0, self._averaging, 0.0)
        _assign_rows(self._average, rows, momentum * average + (1 - momentum) * after)
        _assign_rows(self._averaged_at, rows, tf.fill(tf.shape(rows), made + 1))


class RowAdamW(_RowOptimizer):
    """AdamW on the gathered rows.

    Args:
        table: A variable, float32 `(rows, width)`.
        averaging: Momentum of the moving average of the weights, a float32 variable; None for none.
        weight_decay: Decoupled weight decay of the gathered rows, as a share of the learning rate
            (Loshchilov and Hutter 2019).
    """

    def __init__(
        self, table: tf.Variable, averaging: tf.Variable | None, weight_decay: float
    ) -> None:
        super().__init__(table, averaging)
        self._weight_decay = weight_decay
        self._means = tf.Variable(tf.zeros(table.shape), trainable=False)
        self._squares = tf.Variable(tf.zeros(table.shape), trainable=False)

    @property
    def variables(self) -> list[tf.Variable]:
        """Every variable that changes, except for the table."""
        return [self._means, self._squares, *super().variables]

    def restart(self) -> None:
        """See `_RowOptimizer`."""
        super().restart()
        for moments in (self._means, self._squares):
            moments.assign(tf.zeros_like(moments))

    def update(self, rows: Any, gradients: Any, rate: Any, made: Any) -> None:
        """Updates some rows.

        Args:
            rows: Distinct row numbers, `(rows,)`.
            gradients: float32 `(rows, width)`.
            rate: The learning rate.
            made: Updates made before this one, int32.
        """
        number = tf.cast(made + 1, tf.float32)
        before = tf.gather(self._table, rows)
        means = tf.gather(self._means, rows) * _BETA_1 + gradients * (1 - _BETA_1)
        squares = tf.gather(self._squares, rows) * _BETA_2 + tf.square(gradients) * (1 - _BETA_2)
        size = rate * tf.sqrt(1 - tf.pow(_BETA_2, number)) / (1 - tf.pow(_BETA_1, number))
        after = before * (1 - rate * self._weight_decay)
        after -= size * means / (tf.sqrt(squares) + _EPSILON)
        _assign_rows(self._means, rows, means)
        _assign_rows(self._squares, rows, squares)
        self._replace(rows, before, after, made)


class RowAdagrad(_RowOptimizer):
    """Adagrad on the gathered rows (Duchi et al. 2011).

    The gradient of a batch's mean loss is multiplied by the number of texts in the batch, so that
    the steps do not shrink with larger batches.

    Args:
        table: A variable, float32 `(rows, width)`.
        averaging: Momentum of the moving average of the weights, a float32 variable; None for none.
    """

    def __init__(self, table: tf.Variable, averaging: tf.Variable | None) -> None:
        super().__init__(table, averaging)
        self._squares = tf.Variable(tf.fill(table.shape, _INITIAL_SQUARES), trainable=False)

    @property
    def variables(self) -> list[tf.Variable]:
        """Every variable that changes, except for the table."""
        return [self._squares, *super().variables]

    def restart(self) -> None:
        """See `_RowOptimizer`."""
        super().restart()
        self._squares.assign(tf.fill(self._squares.shape, _INITIAL_SQUARES))

    def update(self, rows: Any, gradients: Any, rate: Any, made: Any, texts: Any) -> None:
        """Updates some rows.

        Args:
            rows: Distinct row numbers, `(rows,)`.
            gradients: float32 `(rows, width)`.
            rate: The learning rate of Adam.
            made: Updates made before this one, int32.
            texts: Texts in the batch, float32.
        """
        gradients *= texts
        before = tf.gather(self._table, rows)
        squares = tf.gather(self._squares, rows) + tf.square(gradients)
        size = _ADAGRAD_RATE * rate * math.sqrt(_INITIAL_SQUARES)
        _assign_rows(self._squares, rows, squares)
        self._replace(rows, before, before - size * gradients / tf.sqrt(squares), made)


def sum_by_row(gradient: tf.IndexedSlices) -> tuple[Any, Any]:
    """The distinct rows of a sparse gradient, and the sum of the gradients of each."""
    indices = tf.reshape(gradient.indices, [-1])
    values = tf.reshape(gradient.values, [tf.size(indices), gradient.dense_shape[-1]])
    rows, positions = tf.unique(indices)
    return rows, tf.math.unsorted_segment_sum(values, positions, tf.size(rows))


def _moving_average(average: Any, value: Any, momentum: Any, times: Any) -> Any:
    """A moving average after some updates with the same value."""
    share = tf.pow(momentum, times)
    return share * average + (1 - share) * value


def _assign_rows(variable: tf.Variable, rows: Any, values: Any) -> None:
    variable.scatter_update(tf.IndexedSlices(values, rows))
