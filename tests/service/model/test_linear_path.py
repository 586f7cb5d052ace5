"""The linear path in NumPy: the numbers of the network's graph, and the same bits in any batch."""

import math
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewise.service.model import linear_path
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.errors import ModelFolderError
from gatewise.service.model.linear_path import MIN_NORM, MULTIPLIERS, SCALE, LinearPath
from gatewise.service.model.model_documents import NetworkSettings, TokenSettings
from gatewise.service.model.model_folder import read_model_folder
from gatewise.vocab.tokenizer.encoding import Encoded, Encoder, Ragged, pad

VOCABULARY, BUCKETS, CLASSES = 12, 50, 3
TEXTS = ["Bitte geben Sie", "a", "the end, the end, the end", "Ξένος", "こんにちは" * 30]


@pytest.fixture(scope="module")
def loaded(model_folder):
    return read_model_folder(model_folder)


def changed(loaded, vocab_size=VOCABULARY, tokens=None, **network):
    """The configuration of a model with another network."""
    settings = loaded.config.gatewise
    gatewise = settings.model_copy(
        update={
            "network": NetworkSettings(**{**settings.network.model_dump(), **network}),
            "tokens": tokens or settings.tokens,
        }
    )
    return loaded.config.model_copy(update={"gatewise": gatewise, "vocab_size": vocab_size})


def weights_of(lengths, width=CLASSES, classes=CLASSES):
    generator = np.random.default_rng(len(lengths))
    rows = VOCABULARY + sum(length > 1 for length in lengths) * BUCKETS
    weights = {
        "ngrams.weight": generator.standard_normal((rows, width)).astype(np.float32),
        "ngrams.idf": generator.uniform(1, 3, rows).astype(np.float32),
    }
    weights["ngrams.weight"][0] = weights["ngrams.idf"][0] = 0
    if width != classes:
        kernel = generator.standard_normal((width, classes))
        weights["ngrams.kernel"] = kernel.astype(np.float32)
    return weights


def expected(ids, lengths, weights):
    """The path's logits of one text, n-gram by n-gram."""
    rows = set()
    longer = [length for length in lengths if length > 1]
    for place in range(len(ids)):
        for length in lengths:
            ngram = [*ids[place:], *[0] * length][:length]
            row = sum(id_ * factor for id_, factor in zip(ngram, MULTIPLIERS, strict=False))
            offset = VOCABULARY + (longer.index(length) if length > 1 else 0) * BUCKETS
            rows.add(ids[place] if length == 1 else offset + row % BUCKETS)
    kept = sorted(rows - {0})
    total = weights["ngrams.weight"][kept].astype(np.float64).sum(axis=0)
    norm = math.sqrt(np.square(weights["ngrams.idf"][kept].astype(np.float64)).sum())
    total *= SCALE / max(norm, MIN_NORM)
    return total @ weights["ngrams.kernel"] if "ngrams.kernel" in weights else total


id_lists = st.lists(
    st.lists(st.integers(1, VOCABULARY - 1), min_size=1, max_size=9), min_size=1, max_size=8
)


def ragged(texts):
    return Ragged.of([Encoded(np.array(ids), truncated=False) for ids in texts])


@pytest.mark.parametrize("lengths", [(1,), (2,), (1, 2), (1, 2, 3, 4), (2, 5)])
@pytest.mark.parametrize("width", [CLASSES, 5])
@given(texts=id_lists)
def test_logits_are_those_of_its_n_grams_in_any_batch(loaded, lengths, width, texts):
    weights = weights_of(lengths, width)
    path = LinearPath(changed(loaded, ngrams=lengths, buckets=BUCKETS), weights)
    logits = path.logits(ragged(texts))
    each = [expected(ids, lengths, weights) for ids in texts]
    np.testing.assert_allclose(logits, each, rtol=1e-4, atol=1e-4)
    alone = [path.logits(ragged([ids]))[0].tolist() for ids in texts]
    assert logits.tolist() == alone
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(linear_path, "_MAX_TOKENS", 4)
        assert path.logits(ragged(texts)).tolist() == alone


def test_logits_are_those_of_the_network_without_its_recurrent_path(loaded):
    model = onnx.load_from_string(loaded.model)
    for constant in model.graph.initializer:
        if constant.name.startswith("classifier."):
            zeros = np.zeros_like(onnx.numpy_helper.to_array(constant))
            constant.CopyFrom(onnx.numpy_helper.from_array(zeros, constant.name))
    encoder = Encoder(loaded.tokenizer, loaded.config.gatewise.tokens.max_length)
    batch = pad([text.ids for text in encoder.encode(TEXTS)])
    inputs = {"input_ids": batch.inputs, "attention_mask": batch.attention_mask}
    (network,) = ort.InferenceSession(model.SerializeToString()).run(None, inputs)
    path = LinearPath.of(loaded)
    np.testing.assert_allclose(path.logits(encoder.encode_together(TEXTS)), network, atol=1e-4)
    assert np.abs(network).max() > 1
    assert path.logits(encoder.encode_together([])).shape == (0, len(loaded.labels))


def test_the_windows_of_a_text_are_pooled(loaded):
    lengths, tokens = (1, 2), TokenSettings(unit="word", max_length=4, windows=3)
    weights = weights_of(lengths)
    path = LinearPath(changed(loaded, tokens=tokens, ngrams=lengths, buckets=BUCKETS), weights)
    windows = [[2, 5, 6, 7], [2, 8, 9]]
    each = [expected(ids, lengths, weights) for ids in windows]
    found = path.logits(ragged([[2, 5, 6, 7, 8, 9]]))
    np.testing.assert_allclose(found, [np.mean(each, axis=0)], atol=1e-4)


def half(constants):
    table = onnx.numpy_helper.to_array(constants["ngrams.weight"]).astype(np.float16)
    constants["ngrams.weight"].CopyFrom(onnx.numpy_helper.from_array(table, "ngrams.weight"))


def renamed(name, other):
    def change(constants):
        constants[name].name = other

    return change


@pytest.mark.parametrize(
    "change",
    [
        half,
        renamed("ngrams.idf", "other"),
        *(renamed("classifier.bias", name) for name in ("ngrams.kernel", "ngrams.kept")),
    ],
)
def test_weights_of_another_kind_are_refused(loaded, change):
    model = onnx.load_from_string(loaded.model)
    change({constant.name: constant for constant in model.graph.initializer})
    with pytest.raises(ModelFolderError, match="weights of its linear path"):
        LinearPath.of(replace(loaded, model=model.SerializeToString()))


@pytest.mark.parametrize("wrong", [{"buckets": 7}, {"ngrams": (2, 1)}, {"ngrams": (9,)}])
def test_weights_that_the_configuration_does_not_describe_are_refused(loaded, wrong):
    other = replace(loaded, config=changed(loaded, loaded.config.vocab_size, **wrong))
    with pytest.raises(ModelFolderError, match="weights of its linear path"):
        LinearPath.of(other)
    # Texts are classified by the whole network then, in bulk too.
    classifiers = Classifier(loaded), Classifier(other)
    logits = [each.logits(each.encode_together(TEXTS)).tolist() for each in classifiers]
    assert logits[0] == logits[1]
