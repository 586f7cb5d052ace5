"""The fused kernels agree with the loop over steps."""

import numpy as np
import pytest
import tensorflow as tf

from gatewise.training.network import block_lstm, cells, cudnn
from gatewise.training.network.recurrence import Recurrence, RecurrentDropout

STEPS, BATCH = 9, 5


def weights(features, units):
    generator = np.random.default_rng(1)
    shapes = [(STEPS, BATCH, features), (features, 4 * units), (units, 4 * units), (4 * units,)]
    return [tf.constant(generator.normal(0, 0.5, shape).astype(np.float32)) for shape in shapes]


def states_and_gradients(call, given):
    with tf.GradientTape() as tape:
        tape.watch(given)
        states = call(*given)
        counts = np.random.default_rng(2).normal(size=states.shape).astype(np.float32)
        total = tf.reduce_sum(states * counts)
    return states, tape.gradient(total, given)


def by_loop(inputs, kernel, recurrent_kernel, bias):
    given = tf.einsum("sbf,fu->sbu", inputs, kernel) + bias
    return cells.run("lstm", given, recurrent_kernel, None, None)


def test_states_and_gradients_agree():
    given = weights(features=7, units=16)
    states, gradients = states_and_gradients(tf.function(block_lstm.lstm), given)
    expected_states, expected_gradients = states_and_gradients(by_loop, given)
    assert states.shape == (STEPS, BATCH, 16)
    np.testing.assert_allclose(states, expected_states, rtol=0, atol=1e-5)
    for gradient, expected in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-4)


def test_large_inputs_are_not_clipped():
    inputs, *others = weights(3, 4)
    given = [inputs * 100, *others]
    np.testing.assert_allclose(block_lstm.lstm(*given), by_loop(*given), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "training", "used"),
    [
        ({"cell": "lstm"}, True, True),
        ({"cell": "lstm", "dropout": RecurrentDropout(weights=0.5)}, True, True),
        ({"cell": "lstm", "dropout": RecurrentDropout(states=0.5)}, True, False),
        ({"cell": "lstm", "dropout": RecurrentDropout(states=0.5)}, False, True),
        ({"cell": "rnn"}, True, False),
    ],
)
def test_it_is_used_where_it_supports_the_settings(options, training, used, monkeypatch):
    calls = []

    def lstm(*arguments):
        calls.append(arguments)
        return by_loop(*arguments)

    monkeypatch.setattr(cudnn, "available", lambda: False)
    monkeypatch.setattr(block_lstm, "lstm", lstm)
    Recurrence(units=4, **options)(np.ones((2, 3, 5), np.float32), training=training)
    assert bool(calls) == used
