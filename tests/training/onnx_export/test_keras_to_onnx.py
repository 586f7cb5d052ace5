"""Keras and ONNX agree as numbers, and ONNX logits do not depend on the batch."""

import itertools
from typing import get_args

import numpy as np
import onnx
import pytest

from gatewise.training.config.network_section import Direction, NetworkConfig, Readout
from gatewise.training.network.build import path_outputs, scale_paths
from gatewise.training.network.char_ngrams import CharNgrams
from gatewise.training.network.shape import Shape
from gatewise.training.onnx_export.keras_to_onnx import operators, to_onnx
from gatewise.vocab.tokenizer.encoding import pad

VOCABULARY, CLASSES = 300, 7
SMALL = {"units": 4, "embedding_size": 4}
# Up to four of 40 character n-grams for every token but the first three.
ROWS = np.random.default_rng(3).integers(0, 41, (VOCABULARY, 4)).astype(np.int32)
ROWS[:3] = 0
CHAR_NGRAMS = CharNgrams(-np.sort(-ROWS, axis=1), 41)


@pytest.fixture(scope="module")
def texts():
    """400 texts of 1 to 60 tokens, most of them short; one with padding tokens inside."""
    generator = np.random.default_rng(0)
    lengths = 1 + np.minimum(59, generator.geometric(0.08, 400))
    lengths[:3] = (1, 2, 60)
    found = [generator.integers(1, VOCABULARY, length) for length in lengths]
    return [*found, np.array([2, 0, 5, 0, 0, 7])]


@pytest.fixture
def exported(network):
    """A network in Keras and in ONNX."""

    def build(config, ngrams=(1, 2, 3), char_ngrams=CHAR_NGRAMS, **sizes):
        shape = Shape(VOCABULARY, ngrams=ngrams, **{"classes": CLASSES, "buckets": 500, **sizes})
        model = network(config, shape, char_ngrams=char_ngrams)
        return model, to_onnx(model, config)

    return build


CELLS = [("gru", True), ("gru", False), ("lstm", True), ("rnn", True)]
READOUTS = get_args(Readout)
DIRECTIONS = get_args(Direction)
# Every cell with every direction and with every read-out.
NETWORKS = [
    {
        "cell": cell,
        "reset_after": reset_after,
        "direction": DIRECTIONS[number % 3],
        "readout": readout,
        "input": ["embedding", "one_hot"][number // 4 % 2],
        "layers": 1 + number // 2 % 3,
    }
    for number, ((cell, reset_after), readout) in enumerate(itertools.product(CELLS, READOUTS))
]


@pytest.mark.sampled(4)
@pytest.mark.parametrize("options", NETWORKS, ids=str)
def test_logits_agree_and_are_the_same_bits_in_any_batch(
    texts, exported, keras_logits, onnx_session, onnx_logits, options
):
    config = NetworkConfig(**options, units=12, embedding_size=10)
    model, proto = exported(config)
    onnx.checker.check_model(proto, full_check=True)
    assert {"gru": "GRU", "lstm": "LSTM", "rnn": "RNN"}[config.cell] in operators(proto)
    assert not {"Loop", "Scan", "If"} & set(operators(proto))
    assert {node.domain for node in proto.graph.node} == {""}
    session = onnx_session(proto)
    together = onnx_logits(session, texts)
    np.testing.assert_allclose(together, keras_logits(model, texts), rtol=0, atol=1e-5)
    for row, text in enumerate(texts[:24]):
        # onnxruntime's RNN has a separate kernel for one row, which the classifier never uses.
        alone = [text] * (2 if config.cell == "rnn" else 1)
        np.testing.assert_array_equal(onnx_logits(session, alone)[0], together[row])


@pytest.mark.parametrize("units", [5, 50])
def test_attention_gives_the_same_bits_whatever_its_width(
    texts, exported, keras_logits, onnx_session, onnx_logits, units
):
    """Widths that are no multiple of the SIMD width are the hard case."""
    config = NetworkConfig(readout="attention", direction="forward", units=units, embedding_size=10)
    model, proto = exported(config)
    session = onnx_session(proto)
    many = [*texts, *(text[:17] for text in texts)] * 2
    together = onnx_logits(session, many)
    np.testing.assert_allclose(together, keras_logits(model, many), rtol=0, atol=1e-5)
    for row, text in enumerate(many):
        np.testing.assert_array_equal(onnx_logits(session, [text])[0], together[row])


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("width", "char_ngrams"), [(None, CHAR_NGRAMS), (3, CHAR_NGRAMS), (11, None)], ids=str
)
@pytest.mark.parametrize("ngrams", [(), (2,), (1, 2), (1, 3, 5, 8)])
def test_every_set_of_ngrams_agrees(
    texts, exported, keras_logits, onnx_logits, ngrams, width, char_ngrams
):
    config = NetworkConfig(**SMALL)
    model, proto = exported(config, ngrams, char_ngrams, buckets=101, ngram_width=width)
    expected = keras_logits(model, texts)
    np.testing.assert_allclose(onnx_logits(proto, texts), expected, rtol=0, atol=1e-5)


def test_many_classes_have_short_ngrams_and_the_same_bits_in_any_batch(
    texts, exported, keras_logits, onnx_session, onnx_logits
):
    config = NetworkConfig(units=12, embedding_size=10)
    model, proto = exported(config, (1, 2), classes=65, ngram_width=config.width_of_ngrams(65))
    constants = {each.name: list(each.dims) for each in proto.graph.initializer}
    assert not [name for name in constants if "spelling" in name]
    assert constants["ngrams.weight"] == [VOCABULARY + 500, 64]
    assert constants["ngrams.kernel"] == [64, 65]
    session = onnx_session(proto)
    together = onnx_logits(session, texts)
    np.testing.assert_allclose(together, keras_logits(model, texts), rtol=0, atol=1e-5)
    for row, text in enumerate(texts[:48]):
        np.testing.assert_array_equal(onnx_logits(session, [text])[0], together[row])


@pytest.mark.parametrize(("width", "char_ngrams"), [(None, CHAR_NGRAMS), (3, None)], ids=str)
def test_paths_are_scaled_in_the_exported_network(texts, exported, onnx_logits, width, char_ngrams):
    config = NetworkConfig(**SMALL)
    model, _ = exported(config, char_ngrams=char_ngrams, ngram_width=width)
    batch = pad(texts)
    inputs = {"input_ids": batch.inputs, "attention_mask": batch.attention_mask}
    recurrent, linear = (logits.numpy() for logits in path_outputs(model)(inputs, training=False))
    scale_paths(model, (0.25, 1.75))
    received = onnx_logits(to_onnx(model, config), texts)
    expected = np.float32(0.25) * recurrent + np.float32(1.75) * linear
    np.testing.assert_allclose(received, expected, rtol=0, atol=2e-5)
    assert np.abs(received - recurrent - linear).max() > 0.1


@pytest.mark.parametrize(("cell", "input_"), [("gru", "one_hot"), ("lstm", "embedding")])
def test_dropout_is_not_exported_and_the_same_weights_give_the_same_bytes(exported, cell, input_):
    names = ["dropout", "word_dropout", "embedding_dropout", "input_dropout"]
    names += ["recurrent_dropout", "weight_drop"]
    contents = set()
    for share in (0.2, 0.0):
        shares = dict.fromkeys(names, share)
        config = NetworkConfig(cell=cell, input=input_, layers=2, **SMALL, **shares)
        contents.add(exported(config)[1].SerializeToString(deterministic=True))
    assert len(contents) == 1


@pytest.mark.parametrize("readout", ["mean", "attention"])
def test_the_attention_of_long_texts_and_large_scores_stays_finite(
    exported, keras_logits, onnx_logits, readout
):
    config = NetworkConfig(**SMALL, readout=readout, ngrams=())
    model, _ = exported(config, ngrams=())
    if readout == "attention":
        kernel, bias, context = model.get_layer("readout").get_weights()
        model.get_layer("readout").set_weights([kernel * 50, bias, context * 1e4])
    generator = np.random.default_rng(1)
    texts = [generator.integers(1, VOCABULARY, length) for length in (3000, 1, 2)]
    logits = onnx_logits(to_onnx(model, config), texts)
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(logits, keras_logits(model, texts), rtol=0, atol=1e-4)
