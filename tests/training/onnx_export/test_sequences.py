"""Keras and ONNX agree on sequences of numbers, whatever else is in the batch."""

import itertools
from typing import get_args

import numpy as np
import pytest

from gatewise.service.model.onnx_validation.operator_allowlist import validate_network
from gatewise.training.config.network_section import Direction, NetworkConfig, Readout
from gatewise.training.data.feature_scale import FeatureScale
from gatewise.training.network.build import build
from gatewise.training.network.shape import Shape
from gatewise.training.onnx_export.keras_to_onnx import to_onnx
from gatewise.training.onnx_export.precision import convert_precision
from gatewise.vocab.tokenizer.encoding import pad

CELLS = [("gru", True), ("gru", False), ("lstm", True), ("rnn", True)]
READOUTS = get_args(Readout)
DIRECTIONS = get_args(Direction)
NETWORKS = [
    {
        "cell": cell,
        "reset_after": reset_after,
        "direction": DIRECTIONS[number % 3],
        "readout": readout,
        "layers": 1 + number // 2 % 2,
        "units": (1, 12)[number % 2],
    }
    for number, ((cell, reset_after), readout) in enumerate(itertools.product(CELLS, READOUTS))
]


def sequences_of(features):
    """200 sequences of 1 to 60 steps around 1000, of which some numbers are missing."""
    generator = np.random.default_rng(0)
    lengths = [1, 2, 60, *(1 + np.minimum(59, generator.geometric(0.08, 197)))]
    found = [generator.normal(1000, 20, (steps, features)).astype(np.float32) for steps in lengths]
    for numbers in found[::3]:
        numbers[generator.random(numbers.shape) < 0.3] = np.nan
    return found


@pytest.mark.sampled(4)
@pytest.mark.parametrize("features", [1, 3])
@pytest.mark.parametrize("options", NETWORKS, ids=str)
def test_logits_agree_and_are_the_same_bits_in_any_batch(onnx_session, options, features):
    config = NetworkConfig(**options)
    sequences = sequences_of(features)
    scale = FeatureScale(np.full(features, 1000, np.float32), np.full(features, 20, np.float32))
    shape = Shape(vocab_size=0, classes=3, ngrams=(), features=features)
    model = build(config, shape, seed=1, scale=scale)
    proto = to_onnx(model, config)
    validate_network(proto.SerializeToString(), 3, is_step=False, features=features)
    session, batch = onnx_session(proto), pad(sequences)
    (together,) = session.run(["logits"], batch.by_name)
    expected = model(batch.by_name, training=False).numpy()
    np.testing.assert_allclose(together, expected, rtol=0, atol=1e-5)
    for row, sequence in enumerate(sequences[:24]):
        # onnxruntime's RNN has a separate kernel for one row, which the classifier never uses.
        alone = pad([sequence] * (2 if config.cell == "rnn" else 1))
        (found,) = session.run(["logits"], alone.by_name)
        np.testing.assert_array_equal(found[0], together[row])


def test_a_missing_number_is_the_mean_of_its_feature(onnx_session):
    config = NetworkConfig(units=4)
    scale = FeatureScale(np.float32([5, -1]), np.float32([2, 3]))
    shape = Shape(vocab_size=0, classes=2, ngrams=(), features=2)
    session = onnx_session(to_onnx(build(config, shape, seed=1, scale=scale), config))
    given = [np.float32([[1, 2], [3, np.nan]]), np.float32([[1, 2], [3, -1]])]
    (found,) = session.run(["logits"], pad(given).by_name)
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_smaller_precisions_keep_the_scale_exact(onnx_session, precision):
    config = NetworkConfig(units=16)
    features = 600  # more than a constant may have before it is converted
    scale = FeatureScale(np.full(features, 1e6, np.float32), np.ones(features, np.float32))
    shape = Shape(vocab_size=0, classes=2, ngrams=(), features=features)
    exact = to_onnx(build(config, shape, seed=1, scale=scale), config)
    smaller = convert_precision(exact, precision)
    assert len(smaller.SerializeToString()) < 0.7 * len(exact.SerializeToString())
    generator = np.random.default_rng(1)
    batch = pad([generator.normal(1e6, 1, (5, features)).astype(np.float32)] * 2)
    (found,), (expected,) = (
        onnx_session(each).run(["logits"], batch.by_name) for each in (smaller, exact)
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.05)
