"""Facts about recurrent networks, held against the layers that this project trains."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.network.build import build
from gatewise.training.network.layers import AttentionPooling, output_layer
from gatewise.training.network.recurrence import Recurrence
from gatewise.training.network.shape import Shape


def parameters_of(layer, features, steps=5):
    layer(keras.Input((steps, features)))
    return layer.count_params()


def test_a_recurrent_layer_has_as_many_parameters_however_many_steps():
    for steps in (1, 2, 200):
        assert parameters_of(Recurrence("rnn", 1), features=1, steps=steps) == 3
    assert parameters_of(Recurrence("rnn", 2), features=1) == (1 + 2 + 1) * 2 == 8
    assert parameters_of(Recurrence("rnn", 2), features=2) == (2 + 2 + 1) * 2 == 10
    assert parameters_of(Recurrence("rnn", 3), features=2) == 18
    assert parameters_of(output_layer(1), features=3) == 4


def test_dense_layers_700_8_8_1_have_5689_parameters():
    layers = [output_layer(units) for units in (8, 8, 1)]
    model = keras.Sequential([keras.Input((700,)), *layers])
    assert model.count_params() == (700 + 1) * 8 + (8 + 1) * 8 + (8 + 1) * 1 == 5689


@pytest.mark.parametrize(("units", "features"), [(3, 2), (64, 64), (7, 20)])
def test_lstm_has_four_networks_and_gru_needs_fewer_parameters(units, features):
    lstm = parameters_of(Recurrence("lstm", units), features)
    gru = parameters_of(Recurrence("gru", units, reset_after=False), features)
    assert lstm == 4 * units * (units + features + 1)
    assert gru == 3 * units * (units + features + 1)
    gru_with_two_biases = parameters_of(Recurrence("gru", units), features)
    assert gru_with_two_biases == 3 * units * (units + features + 2) < lstm


def test_both_directions_have_twice_the_parameters_of_one():
    one = parameters_of(Recurrence("gru", 6, "forward"), 4)
    assert parameters_of(Recurrence("gru", 6, "backward"), 4) == one
    assert parameters_of(Recurrence("gru", 6, "bidirectional"), 4) == 2 * one


def one_neuron(w0, w1, w2):
    layer = Recurrence("rnn", 1, return_sequences=True)
    layer.build((None, None, 1))
    layer.set_weights([np.array([[w1]]), np.array([[w2]]), np.array([w0])])
    return layer


def test_forward_each_state_follows_from_the_input_and_the_state_before():
    w0, w1, w2, xs = 0.1, 0.7, -0.4, [1.5, -0.3, 0.8]
    state, expected = 0.0, []
    for x in xs:
        state = np.tanh(w0 + w1 * x + w2 * state)
        expected.append(state)
    states = one_neuron(w0, w1, w2)(np.array(xs, dtype=np.float32).reshape(1, -1, 1))
    np.testing.assert_allclose(np.ravel(states), expected, atol=1e-6)


def test_backward_through_two_steps_follows_the_chain_rule():
    w0, w1, w2, x1, x2 = 0.1, 0.7, -0.4, 1.5, -0.3
    layer = one_neuron(w0, w1, w2)
    with tf.GradientTape() as tape:
        states = layer(tf.constant([[[x1], [x2]]], dtype=tf.float32))
        last = states[0, 1, 0]
    by_w1, by_w2, by_w0 = (float(np.ravel(g)[0]) for g in tape.gradient(last, layer.weights))

    y1 = np.tanh(w0 + w1 * x1)
    y2 = np.tanh(w0 + w1 * x2 + w2 * y1)
    slope1, slope2 = 1 - y1**2, 1 - y2**2  # the derivative of tanh at each step
    assert by_w1 == pytest.approx(slope2 * (x2 + w2 * slope1 * x1), abs=1e-6)
    assert by_w2 == pytest.approx(slope2 * y1, abs=1e-6)
    assert by_w0 == pytest.approx(slope2 * (1 + w2 * slope1), abs=1e-6)


def test_worked_example_a_silent_hidden_value_gets_no_derivative():
    output = output_layer(1)
    hidden = tf.constant([[0.0, 1.73]])
    output(hidden)
    output.set_weights([np.array([[0.8], [1.2]]), np.array([0.2])])
    with tf.GradientTape() as tape:
        value = output(hidden)
    assert float(value[0, 0]) == pytest.approx(2.276, abs=1e-6)
    by_weights, by_bias = tape.gradient(value, output.trainable_variables)
    np.testing.assert_allclose(np.ravel(by_weights), [0.0, 1.73])
    np.testing.assert_allclose(np.ravel(by_bias), [1.0])


def test_the_gradient_of_a_far_step_vanishes_in_a_plain_network():
    steps, w2 = 30, 0.9
    layer = one_neuron(0.0, 1.0, w2)
    xs = tf.Variable(np.full((1, steps, 1), 0.5, dtype=np.float32))
    with tf.GradientTape() as tape:
        last = layer(xs)[0, -1, 0]
    gradient = np.abs(np.ravel(tape.gradient(last, xs)))
    assert gradient[0] < 1e-6 < gradient[-1]
    # The derivative of the sigmoid is at most 1/4, that of tanh at most 1.
    assert (gradient <= w2 ** np.arange(steps - 1, -1, -1) + 1e-7).all()


def test_an_embedding_is_a_one_hot_vector_times_a_table():
    shape = Shape(vocab_size=9, classes=3, ngrams=())
    model = build(NetworkConfig(embedding_size=4, units=2), shape, seed=1)
    layer = model.get_layer("embedding")
    one_hot = np.eye(9, dtype=np.float32)[[5]]
    np.testing.assert_allclose(layer(np.array([5])), one_hot @ layer.get_weights()[0])


def test_attention_is_a_mean_whose_weights_are_learnt_and_sum_to_one():
    layer = AttentionPooling(4)
    states = np.random.default_rng(0).normal(size=(1, 6, 3)).astype(np.float32)
    mask = np.array([[1, 1, 1, 1, 0, 0]])
    layer(states, mask)
    np.testing.assert_allclose(layer(np.ones_like(states), mask), np.ones((1, 3)), atol=1e-6)
    kernel, bias, context = layer.get_weights()
    scores = np.tanh(states[0, :4] @ kernel + bias) @ context
    shares = np.exp(scores) / np.exp(scores).sum()
    np.testing.assert_allclose(layer(states, mask)[0], shares @ states[0, :4], atol=1e-6)
    # With a context of zeros no token counts more than another.
    layer.set_weights([kernel, bias, np.zeros_like(context)])
    np.testing.assert_allclose(layer(states, mask)[0], states[0, :4].mean(axis=0), atol=1e-6)
