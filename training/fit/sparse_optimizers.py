"""Updates of the rows of a table that a batch has looked up, and of no others.

An embedding or a table of n-grams has a row for every entry of a dictionary, and one batch looks
up a few hundred of them. The gradient of every other row is zero, but an optimizer that takes the
table as a whole still reads and writes all of it: with a large dictionary or many labels that is
what training spends its time on. Here an update costs what the batch looked up, whatever the size
of the table.

`RowAdamW` is for tables whose rows are inputs of further layers: a row's moments stand still while
nothing looks it up, as in the sparse Adam of other libraries ("LazyAdam"). `RowAdagrad` is for
tables whose rows are added up to logits. Adam makes the steps of a rare row as large as those of a
frequent one, and a linear model then learns its rare n-grams by heart. Plain gradient descent does
not, and stopped in time weighs them as an L2 penalty would; but frequent rows make it diverge.
Adagrad that starts from a sum of squares is the one for rare rows and the other for frequent ones.

A moving average does not stand still: a row that no batch looked up for k updates is taken into
the average k times at once, so that the average is that of `keras.optimizers` with `use_ema`.
"""

import math
from typing import Any

import tensorflow as tf

_FIRST, _SECOND, _SMALL = 0.9, 0.999, 1e-7
"""Momenta and epsilon of Adam (Kingma and Ba 2015), as Keras has them."""

_DESCENT = 5.0
"""Adagrad's rate for a new row, as a multiple of the learning rate that is set for Adam."""

_SQUARES = 30.0
"""What Adagrad's sum of squares begins at: some twenty texts' gradients of one row."""


class _Rows:
    """A table whose rows are updated, and their moving average.

    Args:
        table: A variable, float32 `(rows, width)`.
        averaging: Momentum of the moving average of the weights; 0 for none.
    """

    def __init__(self, table: tf.Variable, averaging: float) -> None:
        self._table = table
        self._averaging = averaging
        self._average = tf.Variable(table.read_value(), trainable=False) if averaging else None
        # The number of updates made when a row was last taken into its average.
        self._taken = tf.Variable(tf.zeros(table.shape[0], tf.int32), trainable=False)

    @property
    def variables(self) -> list[tf.Variable]:
        """Everything that changes beside the table itself."""
        return [] if self._average is None else [self._average, self._taken]

    def averaged(self, made: Any) -> Any:
        """The moving average of every row, float32 `(rows, width)`.

        Args:
            made: Updates made, int32.
        """
        if self._average is None:
            return self._table.read_value()
        stood_still = tf.cast(made - self._taken, tf.float32)
        return _moved(self._average, self._table, self._averaging, stood_still[:, None])

    def _replace(self, rows: Any, before: Any, after: Any, made: Any) -> None:
        """Puts updated rows in their places, and takes them into the average."""
        _put(self._table, rows, after)
        if self._average is None:
            return
        stood_still = tf.cast(made - tf.gather(self._taken, rows), tf.float32)
        average = _moved(
            tf.gather(self._average, rows), before, self._averaging, stood_still[:, None]
        )
        # The first update of a run begins the average anew, as Keras does it.
        momentum = tf.where(made > 0, self._averaging, 0.0)
        _put(self._average, rows, momentum * average + (1 - momentum) * after)
        _put(self._taken, rows, tf.fill(tf.shape(rows), made + 1))


class RowAdamW(_Rows):
    """AdamW on the rows that are looked up.

    Args:
        table: A variable, float32 `(rows, width)`.
        averaging: Momentum of the moving average of the weights; 0 for none.
        weight_decay: Decoupled weight decay of the rows that are looked up, as a share of the
            learning rate (Loshchilov and Hutter 2019).
    """

    def __init__(self, table: tf.Variable, averaging: float, weight_decay: float) -> None:
        super().__init__(table, averaging)
        self._weight_decay = weight_decay
        self._means = tf.Variable(tf.zeros(table.shape), trainable=False)
        self._squares = tf.Variable(tf.zeros(table.shape), trainable=False)

    @property
    def variables(self) -> list[tf.Variable]:
        """Everything that changes beside the table itself."""
        return [self._means, self._squares, *super().variables]

    def update(self, rows: Any, gradients: Any, rate: Any, made: Any) -> None:
        """Updates some rows.

        Args:
            rows: Row numbers, `(looked up,)`, none of them twice.
            gradients: float32 `(looked up, width)`.
            rate: The learning rate.
            made: Updates made before this one, int32.
        """
        number = tf.cast(made + 1, tf.float32)
        before = tf.gather(self._table, rows)
        means = tf.gather(self._means, rows) * _FIRST + gradients * (1 - _FIRST)
        squares = tf.gather(self._squares, rows) * _SECOND + tf.square(gradients) * (1 - _SECOND)
        size = rate * tf.sqrt(1 - tf.pow(_SECOND, number)) / (1 - tf.pow(_FIRST, number))
        after = before * (1 - rate * self._weight_decay)
        after -= size * means / (tf.sqrt(squares) + _SMALL)
        _put(self._means, rows, means)
        _put(self._squares, rows, squares)
        self._replace(rows, before, after, made)


class RowAdagrad(_Rows):
    """Adagrad on the rows that are looked up (Duchi et al. 2011).

    The gradient is that of a batch's mean loss, and is multiplied by the number of texts in the
    batch, so that larger batches do not learn less.

    Args:
        table: A variable, float32 `(rows, width)`.
        averaging: Momentum of the moving average of the weights; 0 for none.
    """

    def __init__(self, table: tf.Variable, averaging: float) -> None:
        super().__init__(table, averaging)
        self._squares = tf.Variable(tf.fill(table.shape, _SQUARES), trainable=False)

    @property
    def variables(self) -> list[tf.Variable]:
        """Everything that changes beside the table itself."""
        return [self._squares, *super().variables]

    def update(self, rows: Any, gradients: Any, rate: Any, made: Any, texts: Any) -> None:
        """Updates some rows.

        Args:
            rows: Row numbers, `(looked up,)`, none of them twice.
            gradients: float32 `(looked up, width)`.
            rate: The learning rate, as it is set for Adam.
            made: Updates made before this one, int32.
            texts: Texts in the batch, float32.
        """
        gradients *= texts
        before = tf.gather(self._table, rows)
        squares = tf.gather(self._squares, rows) + tf.square(gradients)
        size = _DESCENT * rate * math.sqrt(_SQUARES)
        _put(self._squares, rows, squares)
        self._replace(rows, before, before - size * gradients / tf.sqrt(squares), made)


def looked_up(gradient: tf.IndexedSlices) -> tuple[Any, Any]:
    """The rows that a gradient is of, each once, and the gradient of each, added up."""
    indices = tf.reshape(gradient.indices, [-1])
    values = tf.reshape(gradient.values, [tf.size(indices), gradient.dense_shape[-1]])
    rows, places = tf.unique(indices)
    return rows, tf.math.unsorted_segment_sum(values, places, tf.size(rows))


def _moved(average: Any, value: Any, momentum: float, times: Any) -> Any:
    """A moving average after a value that stays the same was taken into it some times."""
    share = tf.pow(momentum, times)
    return share * average + (1 - share) * value


def _put(variable: tf.Variable, rows: Any, values: Any) -> None:
    variable.scatter_update(tf.IndexedSlices(values, rows))
