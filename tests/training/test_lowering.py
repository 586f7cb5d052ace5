"""Keras and ONNX agree as numbers, for every network that can be built."""

import itertools

import keras
import numpy as np
import onnx
import onnxruntime as ort
import pytest

from training import network
from training.lowering import lower, operators
from training.settings.network import NetworkConfig
from vocab.encoding import pad

VOCABULARY, CLASSES = 300, 7
TEXTS = 1000


@pytest.fixture(scope="module")
def texts():
    """1,000 texts of 1 to 60 tokens, short ones the most frequent, as in a real corpus."""
    generator = np.random.default_rng(0)
    lengths = 1 + np.minimum(59, generator.geometric(0.08, TEXTS))
    lengths[:3] = (1, 2, 60)
    return [generator.integers(1, VOCABULARY, length) for length in lengths]


def with_random_weights(config, ngrams=(1, 2, 3)):
    shape = network.Shape(vocab_size=VOCABULARY, classes=CLASSES, ngrams=ngrams)
    model = network.build(config, shape, seed=1)
    generator = np.random.default_rng(2)
    # Biases and the n-gram table start at zero, where a wrong order of gates would not show.
    model.set_weights(
        [value + generator.normal(0, 0.1, value.shape) for value in model.get_weights()]
    )
    return model


def keras_logits(model, texts):
    batch = pad(texts)
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    return keras.ops.convert_to_numpy(model(inputs, training=False))


def session_of(proto):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(proto.SerializeToString(), options)


def onnx_logits(session, texts):
    batch = pad(texts)
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    return session.run(["logits"], inputs)[0]


CELLS = [("gru", True), ("gru", False), ("lstm", True), ("rnn", True)]
NETWORKS = list(
    itertools.product(
        CELLS,
        ["forward", "backward", "bidirectional"],
        ["last", "max", "mean", "max_mean"],
    )
)


@pytest.mark.parametrize(("cell", "direction", "readout"), NETWORKS)
def test_logits_agree(texts, cell, direction, readout):
    config = NetworkConfig(
        cell=cell[0],
        reset_after=cell[1],
        direction=direction,
        readout=readout,
        units=12,
        embedding_size=10,
        buckets=500,
    )
    model = with_random_weights(config)
    session = session_of(lower(model, config))
    np.testing.assert_allclose(
        onnx_logits(session, texts), keras_logits(model, texts), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
@pytest.mark.parametrize("direction", ["forward", "backward", "bidirectional"])
def test_stacked_layers_agree(texts, cell, direction):
    config = NetworkConfig(
        cell=cell, direction=direction, layers=3, units=8, embedding_size=6, ngrams=()
    )
    model = with_random_weights(config, ngrams=())
    proto = lower(model, config)
    assert operators(proto).count({"gru": "GRU", "lstm": "LSTM", "rnn": "RNN"}[cell]) == 1
    np.testing.assert_allclose(
        onnx_logits(session_of(proto), texts), keras_logits(model, texts), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("ngrams", [(), (1,), (2,), (1, 2), (1, 3, 5, 8)])
def test_every_set_of_ngrams_agrees(texts, ngrams):
    config = NetworkConfig(units=4, embedding_size=4, buckets=101)
    model = with_random_weights(config, ngrams=ngrams)
    np.testing.assert_allclose(
        onnx_logits(session_of(lower(model, config)), texts),
        keras_logits(model, texts),
        rtol=0,
        atol=1e-5,
    )


def test_a_literal_padding_token_inside_a_text_agrees():
    config = NetworkConfig(units=4, embedding_size=4, buckets=101)
    model = with_random_weights(config)
    texts = [np.array([2, 0, 5, 0, 0, 7]), np.array([2, 9])]
    np.testing.assert_allclose(
        onnx_logits(session_of(lower(model, config)), texts),
        keras_logits(model, texts),
        rtol=0,
        atol=1e-5,
    )


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_no_loop_and_only_plain_operators(cell):
    config = NetworkConfig(cell=cell, layers=2)
    proto = lower(with_random_weights(config), config)
    assert not {"Loop", "Scan", "If"} & set(operators(proto))
    assert {node.domain for node in proto.graph.node} == {""}
    onnx.checker.check_model(proto, full_check=True)


def test_the_same_network_is_lowered_to_the_same_bytes():
    config = NetworkConfig()
    first = lower(with_random_weights(config), config).SerializeToString(deterministic=True)
    again = lower(with_random_weights(config), config).SerializeToString(deterministic=True)
    assert first == again
