"""The recurrent layer has the states, gradients and weights of Keras's own layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gatewise.training.network import cudnn
from gatewise.training.network.recurrence import Recurrence, RecurrentDropout

LENGTHS = np.array([5, 1, 7, 3], dtype=np.int32)
FEATURES, UNITS = 3, 4
CELLS = [("gru", True), ("gru", False), ("lstm", True), ("rnn", True)]
KERAS = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM, "rnn": keras.layers.SimpleRNN}


def in_keras(cell, reset_after, direction, return_sequences):
    options = {"reset_after": reset_after} if cell == "gru" else {}
    layer = KERAS[cell](
        UNITS,
        return_sequences=return_sequences,
        go_backwards=direction == "backward",
        **options,
    )
    return keras.layers.Bidirectional(layer) if direction == "bidirectional" else layer


def inputs():
    generator = np.random.default_rng(0)
    return generator.normal(size=(len(LENGTHS), LENGTHS.max(), FEATURES)).astype(np.float32)


def is_token():
    return np.arange(LENGTHS.max()) < LENGTHS[:, None]


def moved(layer):
    generator = np.random.default_rng(1)
    layer.set_weights([w + generator.normal(0, 0.3, w.shape) for w in layer.get_weights()])


@pytest.mark.parametrize(
    ("cell", "reset_after", "direction", "return_sequences"),
    [
        *((*cell, "bidirectional", True) for cell in CELLS),
        ("gru", True, "backward", False),
        ("gru", True, "bidirectional", False),
    ],
)
def test_states_and_gradients_are_keras_s(cell, reset_after, direction, return_sequences):
    own = Recurrence(
        cell, UNITS, direction, return_sequences=return_sequences, reset_after=reset_after
    )
    theirs = in_keras(cell, reset_after, direction, return_sequences)
    given = tf.constant(inputs())
    own(given, LENGTHS)
    theirs(given, mask=is_token())
    moved(own)
    theirs.set_weights(own.get_weights())

    def states_and_gradients(layer, call):
        with tf.GradientTape() as tape:
            tape.watch(given)
            states = call()
            if return_sequences:
                states = tf.where(is_token()[..., None], states, 0.0)
            weights = np.random.default_rng(2).normal(size=states.shape).astype(np.float32)
            total = tf.reduce_sum(states * weights)
        return [states, *tape.gradient(total, [given, *(w.value for w in layer.weights)])]

    def keras_states():
        states = theirs(given, mask=is_token())
        return states[:, ::-1] if return_sequences and direction == "backward" else states

    expected = states_and_gradients(theirs, keras_states)
    received = states_and_gradients(own, tf.function(lambda: own(given, LENGTHS)))
    for ours, keras_s in zip(received, expected, strict=True):
        np.testing.assert_allclose(ours, keras_s, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("cell", "reset_after"), CELLS)
def test_the_initial_weights_are_of_the_same_kind_as_keras_s(cell, reset_after):
    own = Recurrence(cell, UNITS, "bidirectional", reset_after=reset_after)
    theirs = in_keras(cell, reset_after, "bidirectional", return_sequences=False)
    own(inputs())
    theirs(inputs())
    ours, keras_s = own.get_weights(), theirs.get_weights()
    assert [weight.shape for weight in ours] == [weight.shape for weight in keras_s]
    for start in (0, 3):
        _, recurrent_kernel, bias = ours[start : start + 3]
        np.testing.assert_allclose(recurrent_kernel @ recurrent_kernel.T, np.eye(UNITS), atol=1e-5)
        np.testing.assert_array_equal(bias, keras_s[start + 2])


@pytest.mark.parametrize(
    ("cell", "direction"), [("gru", "forward"), ("lstm", "backward"), ("rnn", "bidirectional")]
)
def test_an_id_is_a_one_hot_vector_times_the_kernel(cell, direction):
    vocabulary = 9
    generator = np.random.default_rng(0)
    ids = generator.integers(0, vocabulary, (len(LENGTHS), LENGTHS.max()))
    on_ids = Recurrence(cell, UNITS, direction, vocab_size=vocabulary)
    on_vectors = Recurrence(cell, UNITS, direction)
    one_hot = np.eye(vocabulary, dtype=np.float32)[ids]
    on_vectors(one_hot)
    on_ids(ids)
    moved(on_vectors)
    on_ids.set_weights(on_vectors.get_weights())
    factors = generator.integers(0, 2, (*ids.shape, 1)).astype(np.float32)
    np.testing.assert_allclose(on_ids(ids, LENGTHS), on_vectors(one_hot, LENGTHS), atol=1e-6)
    np.testing.assert_allclose(
        on_ids(ids, LENGTHS, factors), on_vectors(one_hot * factors, LENGTHS), atol=1e-6
    )


@pytest.mark.parametrize(
    ("cell", "dropout"),
    [
        ("gru", RecurrentDropout(states=0.5)),
        ("lstm", RecurrentDropout(states=0.5)),
        ("rnn", RecurrentDropout(states=0.5)),
        ("lstm", RecurrentDropout(weights=0.5)),
    ],
)
def test_dropout_acts_in_training_only(cell, dropout):
    layer = Recurrence(cell, UNITS, "bidirectional", dropout=dropout)
    plain = Recurrence(cell, UNITS, "bidirectional")
    given = inputs()
    layer(given)
    plain(given)
    plain.set_weights(layer.get_weights())
    first, again = (layer(given, LENGTHS, training=True).numpy() for _ in range(2))
    assert (first != again).any(axis=1)[LENGTHS > 1].all()
    # A text of one step has no previous state to drop.
    np.testing.assert_allclose(first[LENGTHS == 1], again[LENGTHS == 1])
    np.testing.assert_array_equal(layer(given, LENGTHS), plain(given, LENGTHS))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(given, LENGTHS, training=True))
    for gradient in tape.gradient(total, layer.trainable_variables):
        assert np.abs(gradient).max() > 0


class _Cudnn:
    """A stub of CudnnRNNV3 by the equations in cuDNN's documentation."""

    def __init__(self):
        self.calls = 0

    def __call__(self, *, input_h, params, sequence_lengths, rnn_mode, **others):
        assert others["time_major"]
        given = others["input"]
        self.calls += 1
        gates = {"gru": 3, "lstm": 4, "rnn_tanh": 1}[rnn_mode]
        steps, batch, features = given.shape
        units = input_h.shape[-1]
        sizes = [units * features] * gates + [units * units] * gates + [units] * 2 * gates
        parts = [part.numpy() for part in tf.split(params, sizes)]
        kernels = [part.reshape(units, features) for part in parts[:gates]]
        recurrent = [part.reshape(units, units) for part in parts[gates : 2 * gates]]
        biases, recurrent_biases = parts[2 * gates : 3 * gates], parts[3 * gates :]
        states = np.zeros((steps, batch, units), dtype=np.float32)
        for row, length in enumerate(np.asarray(sequence_lengths)):
            h = c = np.zeros(units)
            for step in range(length):
                x = given[step, row].numpy()
                ours = [w @ x + b for w, b in zip(kernels, biases, strict=True)]
                theirs = [r @ h + b for r, b in zip(recurrent, recurrent_biases, strict=True)]
                both = [a + b for a, b in zip(ours, theirs, strict=True)]
                if rnn_mode == "rnn_tanh":
                    h = np.tanh(both[0])
                elif rnn_mode == "gru":
                    reset, update = sigmoid(both[0]), sigmoid(both[1])
                    h = (1 - update) * np.tanh(ours[2] + reset * theirs[2]) + update * h
                else:
                    c = sigmoid(both[1]) * c + sigmoid(both[0]) * np.tanh(both[2])
                    h = sigmoid(both[3]) * np.tanh(c)
                states[step, row] = h
        return tf.constant(states), None, None, None, None


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize(
    ("cell", "vocabulary"), [("gru", None), ("lstm", None), ("rnn", None), ("lstm", 9)]
)
def test_cudnn_gets_weights_in_its_own_order(cell, vocabulary, monkeypatch):
    given = inputs()
    if vocabulary:
        given = np.random.default_rng(0).integers(0, vocabulary, given.shape[:2])
    layer = Recurrence(cell, UNITS, "bidirectional", vocab_size=vocabulary)
    layer(given)
    moved(layer)
    expected = layer(given, LENGTHS)
    stub = _Cudnn()
    monkeypatch.setattr(cudnn, "available", lambda: True)
    monkeypatch.setattr(tf.raw_ops, "CudnnRNNV3", stub)
    np.testing.assert_allclose(layer(given, LENGTHS), expected, atol=1e-5)
    assert stub.calls == 2


def test_cudnn_is_not_used_for_what_it_does_not_support(monkeypatch):
    monkeypatch.setattr(cudnn, "available", lambda: True)
    monkeypatch.setattr(cudnn, "run", None)
    Recurrence("gru", UNITS, reset_after=False)(inputs())
    Recurrence("lstm", UNITS, dropout=RecurrentDropout(states=0.5))(inputs(), training=True)
