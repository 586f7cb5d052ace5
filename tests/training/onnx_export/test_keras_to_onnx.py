"""Keras and ONNX agree as numbers, and ONNX logits do not depend on the batch."""

import itertools

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.network.build import build, path_outputs, scale_paths
from gatewise.training.network.char_ngrams import CharNgrams
from gatewise.training.network.shape import Shape
from gatewise.training.onnx_export.keras_to_onnx import operators, to_onnx
from gatewise.vocab.tokenizer.encoding import pad

VOCABULARY, CLASSES = 300, 7
TEXTS = 1000


@pytest.fixture(scope="module")
def texts():
    """1,000 texts of 1 to 60 tokens, most of them short, as in a real corpus."""
    generator = np.random.default_rng(0)
    lengths = 1 + np.minimum(59, generator.geometric(0.08, TEXTS))
    lengths[:3] = (1, 2, 60)
    return [generator.integers(1, VOCABULARY, length) for length in lengths]


def some_char_ngrams():
    """Up to four of 40 character n-grams for every token but the first three."""
    rows = np.random.default_rng(3).integers(0, 41, (VOCABULARY, 4)).astype(np.int32)
    rows[:3] = 0
    return CharNgrams(-np.sort(-rows, axis=1), 41)


def with_random_weights(config, ngrams=(1, 2, 3), char_ngrams=None, **sizes):
    sizes = {"classes": CLASSES, "buckets": 500, **sizes}
    shape = Shape(vocab_size=VOCABULARY, ngrams=ngrams, **sizes)
    model = build(config, shape, seed=1, char_ngrams=char_ngrams)
    generator = np.random.default_rng(2)
    # Biases and the n-gram table start at zero, where a wrong order of gates would not show.
    model.set_weights(
        [value + generator.normal(0, 0.1, value.shape) for value in model.get_weights()]
    )
    return model


def keras_logits(model, texts):
    batch = pad(texts)
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    # Without a graph, which takes longer to trace than a batch to compute.
    return model(inputs, training=False).numpy()


def session_of(proto):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(proto.SerializeToString(), options)


def onnx_logits(session, texts):
    batch = pad(texts)
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    return session.run(["logits"], inputs)[0]


CELLS = [("gru", True), ("gru", False), ("lstm", True), ("rnn", True)]
READOUTS = ["last", "max", "mean", "max_mean", "attention"]
DIRECTIONS = ["forward", "backward", "bidirectional"]
# Every cell with every direction and with every read-out.
NETWORKS = [
    (cell, DIRECTIONS[number % 3], readout, ["embedding", "one_hot"][number % 2])
    for number, (cell, readout) in enumerate(itertools.product(CELLS, READOUTS))
]


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("cell", "direction", "readout", "input_"), NETWORKS)
def test_logits_agree_and_are_the_same_bits_in_any_batch(texts, cell, direction, readout, input_):
    config = NetworkConfig(
        cell=cell[0],
        reset_after=cell[1],
        direction=direction,
        readout=readout,
        input=input_,
        units=12,
        embedding_size=10,
    )
    model = with_random_weights(config, char_ngrams=some_char_ngrams())
    session = session_of(to_onnx(model, config))
    together = onnx_logits(session, texts)
    np.testing.assert_allclose(together, keras_logits(model, texts), rtol=0, atol=1e-5)
    for row, text in enumerate(texts[:24]):
        # onnxruntime's RNN has a separate kernel for one row, which the classifier never uses.
        alone = [text] * (2 if cell[0] == "rnn" else 1)
        np.testing.assert_array_equal(onnx_logits(session, alone)[0], together[row])


@pytest.mark.parametrize("units", [5, 50])
def test_attention_gives_the_same_bits_whatever_its_width(texts, units):
    """Widths that are no multiple of the SIMD width are the hard case."""
    config = NetworkConfig(readout="attention", direction="forward", units=units, embedding_size=10)
    model = with_random_weights(config)
    session = session_of(to_onnx(model, config))
    many = [*texts, *(text[:17] for text in texts)] * 2
    together = onnx_logits(session, many)
    np.testing.assert_allclose(together, keras_logits(model, many), rtol=0, atol=1e-5)
    for row, text in enumerate(many):
        np.testing.assert_array_equal(onnx_logits(session, [text])[0], together[row])


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("cell", "direction"), [("gru", "backward"), ("lstm", "bidirectional"), ("rnn", "forward")]
)
@pytest.mark.parametrize("input_", ["embedding", "one_hot"])
def test_stacked_layers_agree(texts, cell, direction, input_):
    config = NetworkConfig(
        cell=cell, direction=direction, input=input_, layers=3, units=8, embedding_size=6, ngrams=()
    )
    model = with_random_weights(config, ngrams=())
    proto = to_onnx(model, config)
    assert operators(proto).count({"gru": "GRU", "lstm": "LSTM", "rnn": "RNN"}[cell]) == 1
    np.testing.assert_allclose(
        onnx_logits(session_of(proto), texts), keras_logits(model, texts), rtol=0, atol=1e-5
    )


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("width", "char_ngrams"),
    [(None, some_char_ngrams()), (3, some_char_ngrams()), (11, None)],
    ids=str,
)
@pytest.mark.parametrize("ngrams", [(), (2,), (1, 2), (1, 3, 5, 8)])
def test_every_set_of_ngrams_agrees(texts, ngrams, width, char_ngrams):
    config = NetworkConfig(units=4, embedding_size=4)
    model = with_random_weights(config, ngrams, char_ngrams, buckets=101, ngram_width=width)
    np.testing.assert_allclose(
        onnx_logits(session_of(to_onnx(model, config)), texts),
        keras_logits(model, texts),
        rtol=0,
        atol=1e-5,
    )


@pytest.mark.parametrize("classes", [65, 1000])
def test_many_classes_have_short_ngrams_and_the_same_bits_in_any_batch(texts, classes):
    config = NetworkConfig(units=12, embedding_size=10)
    sizes = {"classes": classes, "ngram_width": config.width_of_ngrams(classes)}
    model = with_random_weights(config, (1, 2), some_char_ngrams(), **sizes)
    proto = to_onnx(model, config)
    constants = {each.name: list(each.dims) for each in proto.graph.initializer}
    assert constants["ngrams.weight"] == [VOCABULARY + 500, 64]
    assert constants["ngrams.kernel"] == [64, classes]
    session = session_of(proto)
    together = onnx_logits(session, texts)
    np.testing.assert_allclose(together, keras_logits(model, texts), rtol=0, atol=1e-5)
    for row, text in enumerate(texts[:48]):
        np.testing.assert_array_equal(onnx_logits(session, [text])[0], together[row])


def test_char_ngrams_do_not_change_the_graph():
    config = NetworkConfig(units=4, embedding_size=4)
    with_it, without = (
        to_onnx(with_random_weights(config, char_ngrams=char_ngrams), config)
        for char_ngrams in (some_char_ngrams(), None)
    )
    assert with_it.graph.node == without.graph.node
    sizes = [
        {each.name: list(each.dims) for each in proto.graph.initializer}
        for proto in (with_it, without)
    ]
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("width", [None, 3])
@pytest.mark.parametrize("char_ngrams", [None, some_char_ngrams()], ids=["plain", "char_ngrams"])
def test_paths_are_scaled_in_the_exported_network(texts, width, char_ngrams):
    config = NetworkConfig(units=4, embedding_size=4)
    model = with_random_weights(config, char_ngrams=char_ngrams, ngram_width=width)
    batch = pad(texts)
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    recurrent, linear = (logits.numpy() for logits in path_outputs(model)(inputs, training=False))
    scale_paths(model, (0.25, 1.75))
    received = onnx_logits(session_of(to_onnx(model, config)), texts)
    expected = np.float32(0.25) * recurrent + np.float32(1.75) * linear
    np.testing.assert_allclose(received, expected, rtol=0, atol=2e-5)
    assert np.abs(received - recurrent - linear).max() > 0.1


def test_a_literal_padding_token_inside_a_text_agrees():
    config = NetworkConfig(units=4, embedding_size=4)
    model = with_random_weights(config, char_ngrams=some_char_ngrams())
    texts = [np.array([2, 0, 5, 0, 0, 7]), np.array([2, 9])]
    np.testing.assert_allclose(
        onnx_logits(session_of(to_onnx(model, config)), texts),
        keras_logits(model, texts),
        rtol=0,
        atol=1e-5,
    )


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_dropout_is_not_exported(cell):
    names = ["dropout", "word_dropout", "embedding_dropout", "input_dropout"]
    shares = dict.fromkeys([*names, "recurrent_dropout", "weight_drop"], 0.2)
    for input_ in ("embedding", "one_hot"):
        with_all = NetworkConfig(cell=cell, input=input_, layers=2, **shares)
        without = NetworkConfig(cell=cell, input=input_, layers=2, **dict.fromkeys(shares, 0.0))
        first, second = (
            to_onnx(with_random_weights(config), config).SerializeToString(deterministic=True)
            for config in (with_all, without)
        )
        assert first == second


@pytest.mark.parametrize("readout", ["mean", "attention"])
def test_the_attention_of_long_texts_and_large_scores_stays_finite(readout):
    config = NetworkConfig(units=4, embedding_size=4, readout=readout, ngrams=())
    model = with_random_weights(config, ngrams=())
    if readout == "attention":
        kernel, bias, context = model.get_layer("readout").get_weights()
        model.get_layer("readout").set_weights([kernel * 50, bias, context * 1e4])
    generator = np.random.default_rng(1)
    texts = [generator.integers(1, VOCABULARY, length) for length in (3000, 1, 2)]
    logits = onnx_logits(session_of(to_onnx(model, config)), texts)
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(logits, keras_logits(model, texts), rtol=0, atol=1e-4)


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_no_loop_and_only_plain_operators(cell):
    config = NetworkConfig(cell=cell, layers=2)
    proto = to_onnx(with_random_weights(config), config)
    assert not {"Loop", "Scan", "If"} & set(operators(proto))
    assert {node.domain for node in proto.graph.node} == {""}
    onnx.checker.check_model(proto, full_check=True)


def test_the_export_is_deterministic():
    config = NetworkConfig()
    first = to_onnx(with_random_weights(config), config).SerializeToString(deterministic=True)
    again = to_onnx(with_random_weights(config), config).SerializeToString(deterministic=True)
    assert first == again
