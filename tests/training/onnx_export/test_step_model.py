"""After every token the step model has the logits of the exported network."""

import itertools
from typing import get_args

import numpy as np
import onnx
import pytest

from gatewise.service.model.onnx_validation.onnx_parser import NEXT, STATE, NetworkError
from gatewise.service.model.onnx_validation.operator_allowlist import validate_network
from gatewise.training.config.network_section import NetworkConfig, Readout
from gatewise.training.data.feature_scale import FeatureScale
from gatewise.training.network.build import build, scale_paths
from gatewise.training.network.char_ngrams import CharNgrams
from gatewise.training.network.shape import Shape
from gatewise.training.onnx_export.keras_to_onnx import operators, to_onnx
from gatewise.training.onnx_export.logit_scaling import scale_logits
from gatewise.training.onnx_export.step_model import build_step_model
from gatewise.vocab.tokenizer.encoding import INPUT_IDS, pad

VOCABULARY, CLASSES, MAX_LENGTH = 60, 5, 48
SMALL = NetworkConfig(units=4, embedding_size=4, direction="forward")
ROWS = np.random.default_rng(3).integers(0, 41, (VOCABULARY, 4)).astype(np.int32)
ROWS[:3] = 0
CHAR_NGRAMS = CharNgrams(-np.sort(-ROWS, axis=1), 41)


@pytest.fixture(scope="module")
def texts():
    """80 texts of 1 to 48 tokens from a small vocabulary, so that n-grams repeat."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, MAX_LENGTH + 1, 80)
    lengths[:2] = (1, MAX_LENGTH)
    found = [generator.integers(0, VOCABULARY, length) for length in lengths]
    found[2] = np.full(MAX_LENGTH, 7)
    found[3] = np.arange(MAX_LENGTH) % 2 + 5
    found[4] = np.zeros(MAX_LENGTH, dtype=np.int64)  # padding tokens inside a text
    for text in found:
        text[0] = 2
    return found


@pytest.fixture
def networks(network):
    """A network with random weights and its step model."""

    def build(config, ngrams=(1, 2, 3), *, char_ngrams=None, **sizes):
        sizes = {"classes": CLASSES, "buckets": 100, **sizes}
        shape = Shape(vocab_size=VOCABULARY, ngrams=ngrams, **sizes)
        model = network(config, shape, char_ngrams=char_ngrams)
        if ngrams:
            scale_paths(model, (0.5, 1.5))
            idf = model.get_layer("ngrams").idf
            idf.assign(np.abs(np.random.default_rng(4).normal(2, 1, idf.shape)))
        whole = scale_logits(to_onnx(model, config), 1 / 1.7)  # by a temperature
        table = shape.table() if ngrams else None
        return whole, build_step_model(whole, config, table, MAX_LENGTH)

    return build


def zeros(session, batch):
    kinds = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
    return {
        one.name: np.zeros(
            [batch if size == "batch" else size for size in one.shape], kinds[one.type]
        )
        for one in session.get_inputs()
        if one.name.startswith(STATE)
    }


@pytest.fixture
def after_every_token(onnx_session):
    """The logits of each text after each of its tokens, `(tokens, texts, classes)`."""

    def run(proto, texts):
        session = onnx_session(proto)
        names = [one.name for one in session.get_outputs()]
        given = session.get_inputs()[0].name
        states = zeros(session, len(texts))
        logits = []
        for tokens in np.moveaxis(pad(texts).inputs, 1, 0):
            found = dict(zip(names, session.run(names, {given: tokens, **states}), strict=True))
            logits.append(found.pop("logits"))
            states = {STATE + name.removeprefix(NEXT): value for name, value in found.items()}
        return np.stack(logits)

    return run


@pytest.fixture
def agree(texts, after_every_token, onnx_session):
    def compare(whole, stepwise, texts=texts):
        session = onnx_session(whole)
        received = after_every_token(stepwise, texts)
        for length in range(1, MAX_LENGTH + 1):
            rows = [row for row, text in enumerate(texts) if len(text) >= length]
            batch = pad([texts[row][:length] for row in rows]).by_name
            (expected,) = session.run(["logits"], batch)
            np.testing.assert_allclose(received[length - 1, rows], expected, rtol=0, atol=1e-5)

    return compare


CELLS = [("gru", True), ("gru", False), ("lstm", True), ("rnn", True)]
READOUTS = get_args(Readout)
NETWORKS = [
    {
        "cell": cell,
        "reset_after": reset_after,
        "readout": readout,
        "input": ["embedding", "one_hot"][number % 2],
        "layers": 1 + number % 3,
    }
    for number, ((cell, reset_after), readout) in enumerate(itertools.product(CELLS, READOUTS))
]


@pytest.mark.sampled(7)
@pytest.mark.parametrize("options", NETWORKS, ids=str)
def test_every_network_agrees_after_every_token(networks, agree, options):
    config = NetworkConfig(**options, direction="forward", units=12, embedding_size=10)
    whole, stepwise = networks(config)
    agree(whole, stepwise)
    onnx.checker.check_model(stepwise, full_check=True)
    assert not {"Loop", "Scan", "If"} & set(operators(stepwise))
    assert {node.domain for node in stepwise.graph.node} == {""}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("options", NETWORKS[::2], ids=str)
def test_sequences_agree_after_every_step(texts, agree, options):
    config = NetworkConfig(**options | {"input": "embedding"}, direction="forward", units=5)
    generator = np.random.default_rng(6)
    for features in (1, 3):
        sequences = [
            generator.normal(1000, 20, (len(text), features)).astype(np.float32) for text in texts
        ]
        for numbers in sequences[::3]:
            numbers[generator.random(numbers.shape) < 0.3] = np.nan
        scale = FeatureScale(np.full(features, 1000, np.float32), np.full(features, 20, np.float32))
        shape = Shape(vocab_size=0, classes=CLASSES, ngrams=(), features=features)
        whole = to_onnx(build(config, shape, seed=1, scale=scale), config)
        stepwise = build_step_model(whole, config, None, MAX_LENGTH)
        validate_network(stepwise.SerializeToString(), CLASSES, is_step=True, features=features)
        agree(whole, stepwise, sequences)
        with pytest.raises(NetworkError, match="expected inputs input_ids and"):
            validate_network(stepwise.SerializeToString(), CLASSES, is_step=True)
        with pytest.raises(NetworkError, match="expected input_values to be 4 32-bit floats"):
            validate_network(stepwise.SerializeToString(), CLASSES, is_step=True, features=4)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("ngrams", "width"),
    [((), None), ((1,), 3), ((1, 2), None), ((3,), None), ((1, 2, 3, 4), 3), ((1, 3, 5, 8), None)],
)
def test_every_set_of_ngrams_agrees(networks, agree, ngrams, width):
    # With 7 buckets, incomplete n-grams collide with earlier ones.
    for buckets in (7, 1000):
        sizes = {"buckets": buckets, "ngram_width": width}
        agree(*networks(SMALL, ngrams, char_ngrams=CHAR_NGRAMS, **sizes))


def test_attention_with_scores_of_any_size(network, agree):
    config = SMALL.model_copy(update={"readout": "attention", "ngrams": ()})
    for factor in (300.0, -300.0):
        model = network(config, Shape(vocab_size=VOCABULARY, classes=CLASSES, ngrams=()))
        kernel, bias, context = model.get_layer("readout").get_weights()
        readout = [kernel * 50, np.abs(bias) + 3, np.abs(context) * factor]
        model.get_layer("readout").set_weights(readout)
        whole = to_onnx(model, config)
        agree(whole, build_step_model(whole, config, None, MAX_LENGTH))


def test_a_text_does_not_depend_on_its_batch_and_the_bytes_are_the_same(
    texts, networks, after_every_token
):
    first, again = (networks(SMALL)[1] for _ in range(2))
    contents = {each.SerializeToString(deterministic=True) for each in (first, again)}
    assert len(contents) == 1
    together = after_every_token(first, texts)
    for row, text in enumerate(texts[:8]):
        alone = after_every_token(first, [text])[:, 0]
        np.testing.assert_allclose(alone, together[: len(text), row], rtol=0, atol=1e-6)


def test_the_state_has_one_size_and_starts_as_zeros(networks, onnx_session):
    session = onnx_session(networks(SMALL)[1])
    states = zeros(session, 1)
    names = [one.name for one in session.get_outputs()]
    found = dict(zip(names, session.run(names, {INPUT_IDS: np.array([2]), **states}), strict=True))
    for name, value in states.items():
        after = found[NEXT + name.removeprefix(STATE)]
        assert (after.shape, after.dtype) == (value.shape, value.dtype)
    assert len(found) == len(states) + 1
