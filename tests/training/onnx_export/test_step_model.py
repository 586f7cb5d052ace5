"""After every token the step model has the logits of the exported network."""

import itertools

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from gatewise.service.model.onnx_validation.onnx_parser import NEXT, STATE, TOKEN
from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.network.build import build, scale_paths
from gatewise.training.network.char_ngrams import CharNgrams
from gatewise.training.network.shape import Shape
from gatewise.training.onnx_export.keras_to_onnx import operators, to_onnx
from gatewise.training.onnx_export.logit_scaling import scale_logits
from gatewise.training.onnx_export.step_model import build_step_model
from gatewise.vocab.tokenizer.encoding import pad

VOCABULARY, CLASSES, MAX_LENGTH = 60, 5, 48
CELLS = [("gru", True), ("gru", False), ("lstm", True), ("rnn", True)]
READOUTS = ["last", "max", "mean", "max_mean", "attention"]


@pytest.fixture(scope="module")
def texts():
    """200 texts of 1 to 48 tokens from a small vocabulary, so that n-grams repeat."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, MAX_LENGTH + 1, 200)
    lengths[:2] = (1, MAX_LENGTH)
    found = [generator.integers(0, VOCABULARY, length) for length in lengths]
    found[2] = np.full(MAX_LENGTH, 7)
    found[3] = np.arange(MAX_LENGTH) % 2 + 5
    found[4] = np.zeros(MAX_LENGTH, dtype=np.int64)  # padding tokens inside a text
    for text in found:
        text[0] = 2
    return found


def some_char_ngrams():
    rows = np.random.default_rng(3).integers(0, 41, (VOCABULARY, 4)).astype(np.int32)
    rows[:3] = 0
    return CharNgrams(-np.sort(-rows, axis=1), 41)


def networks(config, ngrams=(1, 2, 3), *, char_ngrams=None, temperature=1.0, **sizes):
    """A network with random weights and its step model."""
    sizes = {"classes": CLASSES, "buckets": 100, **sizes}
    shape = Shape(vocab_size=VOCABULARY, ngrams=ngrams, **sizes)
    model = build(config, shape, seed=1, char_ngrams=char_ngrams)
    generator = np.random.default_rng(2)
    model.set_weights(
        [value + generator.normal(0, 0.1, value.shape) for value in model.get_weights()]
    )
    if ngrams:
        scale_paths(model, (0.5, 1.5))
        idf = model.get_layer("ngrams").idf
        idf.assign(np.abs(generator.normal(2, 1, idf.shape)))
    network = to_onnx(model, config)
    network = network if temperature == 1 else scale_logits(network, 1 / temperature)
    return network, build_step_model(network, config, shape.table() if ngrams else None, MAX_LENGTH)


def session_of(proto):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(proto.SerializeToString(), options)


def zeros(session, batch):
    kinds = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
    return {
        one.name: np.zeros([batch if size == "batch" else size for size in one.shape], kind)
        for one in session.get_inputs()
        if one.name != TOKEN
        for kind in [kinds[one.type]]
    }


def after_every_token(proto, texts):
    """The logits of each text after each of its tokens, `(tokens, texts, classes)`."""
    session = session_of(proto)
    names = [one.name for one in session.get_outputs()]
    states = zeros(session, len(texts))
    logits = []
    for ids in pad(texts).input_ids.T:
        found = dict(zip(names, session.run(names, {TOKEN: ids, **states}), strict=True))
        logits.append(found.pop("logits"))
        states = {STATE + name.removeprefix(NEXT): value for name, value in found.items()}
    return np.stack(logits)


def agree(network, stepwise, texts):
    session = session_of(network)
    received = after_every_token(stepwise, texts)
    for length in range(1, MAX_LENGTH + 1):
        rows = [row for row, text in enumerate(texts) if len(text) >= length]
        batch = pad([texts[row][:length] for row in rows])
        inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        (expected,) = session.run(["logits"], inputs)
        np.testing.assert_allclose(received[length - 1, rows], expected, rtol=0, atol=1e-5)


NETWORKS = [
    (cell, readout, ["embedding", "one_hot"][number % 2], 1 + number % 3)
    for number, (cell, readout) in enumerate(itertools.product(CELLS, READOUTS))
]


@pytest.mark.sampled(7)
@pytest.mark.parametrize(("cell", "readout", "input_", "layers"), NETWORKS)
def test_every_network_agrees_after_every_token(texts, cell, readout, input_, layers):
    config = NetworkConfig(
        cell=cell[0],
        reset_after=cell[1],
        direction="forward",
        readout=readout,
        input=input_,
        layers=layers,
        units=12,
        embedding_size=10,
    )
    agree(*networks(config), texts)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("ngrams", "width"),
    [((), None), ((1,), 3), ((1, 2), None), ((3,), None), ((1, 2, 3, 4), 3), ((1, 3, 5, 8), None)],
)
def test_every_set_of_ngrams_agrees(texts, ngrams, width):
    config = NetworkConfig(units=4, embedding_size=4, direction="forward")
    # With 7 buckets, incomplete n-grams collide with earlier ones.
    for buckets in (7, 1000):
        pair = networks(
            config, ngrams, char_ngrams=some_char_ngrams(), buckets=buckets, ngram_width=width
        )
        agree(*pair, texts)


def test_the_temperature_is_included(texts):
    config = NetworkConfig(units=4, embedding_size=4, direction="forward")
    plain, cooler = (networks(config, temperature=each)[1] for each in (1.0, 2.0))
    np.testing.assert_allclose(
        after_every_token(plain, texts), 2 * after_every_token(cooler, texts), rtol=0, atol=1e-5
    )


def test_attention_with_scores_of_any_size(texts):
    config = NetworkConfig(
        units=4, embedding_size=4, direction="forward", readout="attention", ngrams=()
    )
    for factor in (300.0, -300.0):
        model = build(config, Shape(vocab_size=VOCABULARY, classes=CLASSES, ngrams=()), seed=1)
        kernel, bias, context = model.get_layer("readout").get_weights()
        readout = [kernel * 50, np.abs(bias) + 3, np.abs(context) * factor]
        model.get_layer("readout").set_weights(readout)
        network = to_onnx(model, config)
        agree(network, build_step_model(network, config, None, MAX_LENGTH), texts)


def test_a_text_does_not_depend_on_its_batch(texts):
    config = NetworkConfig(units=4, embedding_size=4, direction="forward")
    _, stepwise = networks(config)
    together = after_every_token(stepwise, texts)
    for row, text in enumerate(texts[:8]):
        alone = after_every_token(stepwise, [text])[:, 0]
        np.testing.assert_allclose(alone, together[: len(text), row], rtol=0, atol=1e-6)


def test_the_state_has_one_size_and_starts_as_zeros():
    config = NetworkConfig(direction="forward")
    session = session_of(networks(config)[1])
    states = zeros(session, 1)
    names = [one.name for one in session.get_outputs()]
    found = dict(zip(names, session.run(names, {TOKEN: np.array([2]), **states}), strict=True))
    for name, value in states.items():
        after = found[NEXT + name.removeprefix(STATE)]
        assert (after.shape, after.dtype) == (value.shape, value.dtype)
    assert len(found) == len(states) + 1


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_only_plain_operators_and_the_same_bytes_each_time(cell):
    config = NetworkConfig(cell=cell, direction="forward", layers=2)
    first, again = (networks(config)[1] for _ in range(2))
    assert not {"Loop", "Scan", "If"} & set(operators(first))
    assert {node.domain for node in first.graph.node} == {""}
    onnx.checker.check_model(first, full_check=True)
    contents = [each.SerializeToString(deterministic=True) for each in (first, again)]
    assert contents[0] == contents[1]
