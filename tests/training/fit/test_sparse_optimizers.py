import keras
import numpy as np
import pytest
import tensorflow as tf

from gatewise.training.fit.sparse_optimizers import RowAdagrad, RowAdamW, sum_by_row

ROWS, WIDTH = 7, 3
RATES = [0.01, 0.03, 0.02, 0.005, 0.01, 0.02, 0.01, 0.001]


def first_values():
    return np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)


def gradient(step):
    return np.random.default_rng(100 + step).normal(size=(ROWS, WIDTH)).astype(np.float32)


def averaging_of(momentum):
    return tf.Variable(momentum) if momentum else None


def update(table, step, rows, *others):
    rows = np.array(rows, dtype=np.int32)
    given = (tf.constant(rows), tf.constant(gradient(step)[rows]))
    table.update(*given, tf.constant(RATES[step]), tf.constant(step), *others)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_with_every_row_in_every_batch_it_is_keras_s_adamw(momentum):
    variable = tf.Variable(first_values())
    table = RowAdamW(variable, averaging_of(momentum), weight_decay=0.02)
    theirs = keras.Variable(first_values())
    options = {"use_ema": True, "ema_momentum": momentum} if momentum else {}
    optimizer = keras.optimizers.AdamW(0.1, weight_decay=0.02, **options)
    optimizer.build([theirs])
    for step, rate in enumerate(RATES):
        update(table, step, np.random.default_rng(step).permutation(ROWS))
        optimizer.learning_rate = rate
        optimizer.apply([tf.constant(gradient(step))], [theirs])
        np.testing.assert_allclose(variable, theirs.value, rtol=0, atol=1e-6)
    # Puts the moving average in the variable's place, if there is one.
    optimizer.finalize_variable_values([theirs])
    made = tf.constant(len(RATES))
    np.testing.assert_allclose(table.averaged(made), theirs.value, rtol=0, atol=1e-6)


GATHERED = [[0, 1], [1], [1, 4, 2], [4], [0], [1, 2], [2], [4, 0]]


def row_optimizer(kind, momentum):
    """The variable, its optimizer, and what its updates take besides."""
    variable = tf.Variable(first_values())
    if kind is RowAdamW:
        return variable, RowAdamW(variable, averaging_of(momentum), 0.1), []
    return variable, RowAdagrad(variable, averaging_of(momentum)), [tf.constant(4.0)]


@pytest.mark.parametrize("kind", [RowAdamW, RowAdagrad])
def test_the_moving_average_includes_every_row_at_every_update(kind):
    variable, table, others = row_optimizer(kind, 0.8)
    average = first_values().astype(np.float64)
    for step, rows in enumerate(GATHERED):
        update(table, step, rows, *others)
        # As keras.optimizers with use_ema: the first update resets it.
        momentum = 0.8 if step else 0.0
        average = momentum * average + (1 - momentum) * variable.numpy()
        received = table.averaged(tf.constant(step + 1))
        np.testing.assert_allclose(received, average, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("kind", "momentum"), [(RowAdamW, 0.9), (RowAdagrad, 0.0)])
def test_rows_that_are_not_gathered_stay_as_they_are(kind, momentum):
    variable, table, others = row_optimizer(kind, momentum)
    kept = [each.numpy() for each in table.variables]
    update(table, 0, [5, 2], *others)
    still = np.array([0, 1, 3, 4, 6])
    np.testing.assert_array_equal(variable.numpy()[still], first_values()[still])
    assert (variable.numpy()[[2, 5]] != first_values()[[2, 5]]).all()
    for before, after in zip(kept, table.variables, strict=True):
        np.testing.assert_array_equal(after.numpy()[still], before[still])


def test_a_row_s_moments_do_not_change_while_it_is_not_gathered():
    variable = tf.Variable(first_values())
    table = RowAdamW(variable, 0.0, weight_decay=0.0)
    update(table, 0, [0])
    for step in range(1, 7):
        update(table, step, [1, 2])
    before = variable.numpy()[0]
    update(table, 7, [0])
    means = 0.9 * 0.1 * gradient(0)[0] + 0.1 * gradient(7)[0]
    squares = 0.999 * 0.001 * gradient(0)[0] ** 2 + 0.001 * gradient(7)[0] ** 2
    size = RATES[7] * np.sqrt(1 - 0.999**8) / (1 - 0.9**8)
    expected = before - size * means / (np.sqrt(squares) + 1e-7)
    np.testing.assert_allclose(variable.numpy()[0], expected, rtol=0, atol=1e-6)


def test_adagrad_is_its_formula():
    variable = tf.Variable(first_values())
    table = RowAdagrad(variable, 0.0)
    value = first_values().astype(np.float64)
    squares = np.full((ROWS, WIDTH), 30.0)
    for step, rows in enumerate(GATHERED):
        update(table, step, rows, tf.constant(16.0))
        of_texts = gradient(step)[rows] * 16.0
        squares[rows] += of_texts**2
        value[rows] -= 5 * RATES[step] * np.sqrt(30) * of_texts / np.sqrt(squares[rows])
        np.testing.assert_allclose(variable, value, rtol=0, atol=1e-5)


def test_a_larger_batch_of_the_same_texts_moves_a_row_no_less():
    """The gradient of a mean loss over twice as many texts is half as large."""
    values = []
    for texts in (8.0, 16.0):
        variable = tf.Variable(first_values())
        rows = tf.range(ROWS)
        given = tf.constant(gradient(0) / texts)
        RowAdagrad(variable, 0.0).update(rows, given, 0.01, tf.constant(0), tf.constant(texts))
        values.append(variable.numpy())
    np.testing.assert_allclose(values[0], values[1], rtol=0, atol=1e-6)


def test_gradients_of_a_row_are_summed():
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    slices = tf.IndexedSlices(tf.constant(values), tf.constant([5, 1, 5, 2]), tf.constant([7, 3]))
    rows, gradients = sum_by_row(slices)
    np.testing.assert_array_equal(rows, [5, 1, 2])
    np.testing.assert_array_equal(gradients, [values[0] + values[2], values[1], values[3]])
