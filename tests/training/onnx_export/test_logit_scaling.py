"""The logits of every network can be scaled, and nothing else changes."""

import itertools

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.network.build import build
from gatewise.training.network.shape import Shape
from gatewise.training.onnx_export.keras_to_onnx import to_onnx
from gatewise.training.onnx_export.logit_scaling import scale_logits
from gatewise.vocab.tokenizer.encoding import pad

TEXTS = [np.arange(1, 2 + length) % 50 for length in (1, 2, 5, 30)]
# Every read-out with and without the n-gram path; every cell once.
NETWORKS = [
    *(
        ({"readout": readout}, ngrams)
        for readout, ngrams in itertools.product(
            ("last", "max", "mean", "max_mean", "attention"), ((), (1, 2, 3))
        )
    ),
    ({"cell": "lstm", "input": "one_hot"}, (1, 2)),
    ({"cell": "rnn", "direction": "backward", "layers": 2}, (1, 2)),
]


def logits_of(proto):
    batch = pad(TEXTS)
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    session = ort.InferenceSession(proto.SerializeToString())
    return session.run(["logits"], inputs)[0]


@pytest.mark.parametrize(("options", "ngrams"), NETWORKS)
def test_logits_are_scaled_and_the_graph_stays(options, ngrams):
    config = NetworkConfig(units=5, embedding_size=6, buckets=20, **options)
    model = build(config, Shape(vocab_size=50, classes=4, ngrams=ngrams), seed=1)
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


def graph_of(*nodes, constants):
    proto = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (None, 2))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, (None, 2))],
        [
            numpy_helper.from_array(np.full(2, value, dtype=np.float32), name)
            for name, value in constants.items()
        ],
    )
    return helper.make_model(proto, opset_imports=[helper.make_opsetid("", 17)])


def test_an_operator_that_no_factor_passes_through_is_refused():
    curve = graph_of(helper.make_node("Tanh", ["x"], ["logits"]), constants={})
    with pytest.raises(ValueError, match="no factor passes through Tanh"):
        scale_logits(curve, 2)
    straight = graph_of(helper.make_node("Add", ["x", "b"], ["logits"]), constants={"b": 1})
    with pytest.raises(ValueError, match="cannot scale x: no factor passes through input"):
        scale_logits(straight, 2)


def test_a_constant_with_another_use_is_refused():
    nodes = [
        helper.make_node("Mul", ["b", "x"], ["y"]),
        helper.make_node("Add", ["y", "b"], ["logits"]),
    ]
    with pytest.raises(ValueError, match="cannot scale b: other results are computed"):
        scale_logits(graph_of(*nodes, constants={"b": 1}), 2)
