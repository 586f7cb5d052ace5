"""The logits of every network can be scaled, and nothing else changes."""

import itertools

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.network.build import build
from gatewise.training.network.shape import Shape
from gatewise.training.onnx_export.keras_to_onnx import to_onnx
from gatewise.training.onnx_export.logit_scaling import scale_logits
from gatewise.vocab.tokenizer.encoding import pad

TEXTS = [np.arange(1, 2 + length) % 50 for length in (1, 2, 5, 30)]
# Every read-out with and without the n-gram path; every cell once; n-gram vectors.
NETWORKS = [
    *(
        ({"readout": readout}, ngrams, None)
        for readout, ngrams in itertools.product(
            ("last", "max", "mean", "max_mean", "attention"), ((), (1, 2, 3))
        )
    ),
    ({"cell": "lstm", "input": "one_hot"}, (1, 2), None),
    ({"cell": "rnn", "direction": "backward", "layers": 2}, (1, 2), 3),
]


def logits_of(proto):
    batch = pad(TEXTS)
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    session = ort.InferenceSession(proto.SerializeToString())
    return session.run(["logits"], inputs)[0]


@pytest.mark.parametrize(("options", "ngrams", "ngram_width"), NETWORKS)
def test_logits_are_scaled_and_the_graph_stays(options, ngrams, ngram_width):
    config = NetworkConfig(units=5, embedding_size=6, buckets=20, **options)
    model = build(config, Shape(50, 4, ngrams, ngram_width=ngram_width), seed=1)
    generator = np.random.default_rng(2)
    weights = [each + generator.normal(0, 0.3, each.shape) for each in model.get_weights()]
    model.set_weights(weights)
    proto = to_onnx(model, config)
    before = logits_of(proto)
    scaled = scale_logits(proto, 1 / 1.7)
    onnx.checker.check_model(scaled, full_check=True)
    np.testing.assert_allclose(logits_of(scaled), before / 1.7, rtol=2e-5, atol=1e-6)
    assert (logits_of(scaled).argmax(axis=1) == before.argmax(axis=1)).all()
    assert scaled.graph.node == proto.graph.node
    assert (logits_of(proto) == before).all()  # the argument is not changed
