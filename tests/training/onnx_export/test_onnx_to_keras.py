"""A network with the weights of an exported one gives its logits."""

import numpy as np
import pytest

from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.network.build import build
from gatewise.training.network.char_ngrams import CharNgrams
from gatewise.training.network.shape import Shape
from gatewise.training.onnx_export.keras_to_onnx import to_onnx
from gatewise.training.onnx_export.onnx_to_keras import constants_of, set_exported_weights

TOKENS, MORE_TOKENS = 40, 45
CLASSES = np.array([0, 2, 3, 5])
"""The columns of the exported network's classes among six."""


def char_ngrams(tokens):
    rows = np.random.default_rng(3).integers(0, 21, (tokens, 4)).astype(np.int32)
    rows[:3] = 0
    return CharNgrams(-np.sort(-rows, axis=1), 21)


NETWORKS = [
    {"cell": "lstm", "readout": "max_mean"},
    {"cell": "lstm", "input": "one_hot", "layers": 2, "readout": "last"},
    {"cell": "gru", "direction": "forward", "readout": "attention", "layers": 2},
    {"cell": "gru", "reset_after": False, "input": "one_hot", "direction": "backward"},
    {"cell": "rnn", "readout": "mean"},
]


@pytest.mark.parametrize("width", [None, 3])
@pytest.mark.parametrize("options", NETWORKS, ids=str)
def test_a_larger_network_gives_the_same_logits_for_known_tokens(
    network, keras_logits, options, width
):
    config = NetworkConfig(**options, units=5, embedding_size=6)
    sizes = {"ngrams": (1, 2), "buckets": 101, "ngram_width": width}
    spelled = config.input == "embedding"
    earlier = network(
        config,
        Shape(TOKENS, len(CLASSES), **sizes),
        char_ngrams=char_ngrams(TOKENS) if spelled else None,
    )
    fresh = build(
        config,
        Shape(MORE_TOKENS, 6, **sizes),
        seed=7,
        char_ngrams=char_ngrams(MORE_TOKENS) if spelled else None,
    )
    untouched = fresh.get_layer("classifier").get_weights()[0][:, [1, 4]]
    constants = constants_of(to_onnx(earlier, config).SerializeToString())
    set_exported_weights(fresh, config, constants, TOKENS, CLASSES, {TOKENS: [3, 4]})
    generator = np.random.default_rng(0)
    texts = [generator.integers(1, TOKENS, length) for length in (1, 2, 9, 30)]
    found, expected = keras_logits(fresh, texts), keras_logits(earlier, texts)
    np.testing.assert_allclose(found[:, CLASSES], expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(
        fresh.get_layer("classifier").get_weights()[0][:, [1, 4]], untouched
    )
