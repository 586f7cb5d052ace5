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
    ("options", "ngrams"),
    [
        ({"readout": "max_mean"}, ()),
        ({"readout": "attention"}, (1, 2, 3)),
        ({"cell": "lstm", "input": "one_hot"}, (1, 2)),
        ({"cell": "rnn", "direction": "backward", "layers": 2, "readout": "last"}, (1, 2)),
    ],
)
def test_logits_are_scaled_and_the_graph_stays(network, onnx_logits, options, ngrams):
    config = NetworkConfig(units=5, embedding_size=6, buckets=20, **options)
    shape = Shape(vocab_size=50, classes=4, ngrams=ngrams)
    proto = to_onnx(network(config, shape, spread=0.3), config)
    before = onnx_logits(proto, TEXTS)
    scaled = scale_logits(proto, 1 / 1.7)
    onnx.checker.check_model(scaled, full_check=True)
    after = onnx_logits(scaled, TEXTS)
    np.testing.assert_allclose(after, before / 1.7, rtol=2e-5, atol=1e-6)
    assert (after.argmax(axis=1) == before.argmax(axis=1)).all()
    assert scaled.graph.node == proto.graph.node
    assert (onnx_logits(proto, TEXTS) == before).all()  # the argument is not changed


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ("logits = Tanh(x)", "no factor passes through Tanh"),
        ("logits = Add(x, b)", "cannot scale x: no factor passes through input"),
        ("y = Mul(b, x) logits = Add(y, b)", "cannot scale b: other results are computed"),
    ],
)
def test_what_no_factor_passes_through_is_refused(nodes, message):
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]>'
        f"graph (float[n, 2] x) => (float[n, 2] logits) <float[2] b = {{1, 1}}> {{ {nodes} }}"
    )
    with pytest.raises(ValueError, match=message):
        scale_logits(model, 2)
