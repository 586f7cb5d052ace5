"""The logits of every network can be scaled, and nothing else changes."""

import numpy as np
import onnx
import pytest

from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.network.shape import Shape
from gatewise.training.onnx_export.keras_to_onnx import to_onnx
from gatewise.training.onnx_export.logit_scaling import scale_logits

TEXTS = [np.arange(1, 2 + length) % 50 for length in (1, 2, 5, 30)]


@pytest.mark.parametrize(
    ("options", "ngrams", "width"),
    [
        ({"readout": "max_mean"}, (), None),
        ({"readout": "attention"}, (1, 2, 3), None),
        ({"cell": "lstm", "input": "one_hot"}, (1, 2), None),
        ({"cell": "rnn", "direction": "backward", "layers": 2, "readout": "last"}, (1, 2), 3),
    ],
)
def test_logits_are_scaled_and_the_graph_stays(network, onnx_logits, options, ngrams, width):
    config = NetworkConfig(units=5, embedding_size=6, buckets=20, **options)
    shape = Shape(50, 4, ngrams, ngram_width=width)
    proto = to_onnx(network(config, shape, spread=0.3), config)
    before = onnx_logits(proto, TEXTS)
    scaled = scale_logits(proto, 1 / 1.7)
    onnx.checker.check_model(scaled, full_check=True)
    after = onnx_logits(scaled, TEXTS)
    np.testing.assert_allclose(after, before / 1.7, rtol=2e-5, atol=1e-6)
    assert (after.argmax(axis=1) == before.argmax(axis=1)).all()
    assert scaled.graph.node == proto.graph.node
    assert (onnx_logits(proto, TEXTS) == before).all()  # the argument is not changed


def test_a_shift_is_added_to_every_scaled_logit(network, onnx_logits):
    config = NetworkConfig(units=5, embedding_size=6, buckets=20)
    proto = to_onnx(network(config, Shape(50, 1, (1, 2)), spread=0.3), config)
    found = onnx_logits(scale_logits(proto, 30.0, 500.0), TEXTS)
    expected = 30 * onnx_logits(proto, TEXTS).astype(np.float64) + 500
    np.testing.assert_allclose(found, expected, rtol=1e-6)
