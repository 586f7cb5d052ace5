"""A pruned network answers like the original with the removed parts zeroed or unknown."""

import numpy as np
import pytest
from onnx import numpy_helper

from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.mobile.onnx_parts import EMBEDDING, IDF, NGRAM_KERNEL, NGRAMS, OnnxParts
from gatewise.training.mobile.pruning import PruningPlan, ngram_effect, prune, token_effect
from gatewise.training.network.shape import Shape
from gatewise.training.onnx_export.keras_to_onnx import to_onnx
from gatewise.training.onnx_export.precision import convert_precision
from gatewise.vocab.tokenizer.tokenizer import UNKNOWN_ID

TOKENS, BUCKETS = 120, 300


@pytest.fixture(scope="module")
def texts():
    generator = np.random.default_rng(0)
    return [generator.integers(1, TOKENS, length) for length in (1, 2, 40, *range(3, 33))]


@pytest.fixture
def lowered(network):
    """An exported network with random weights; some n-grams occur in no training text."""

    def build(ngrams=(1, 2), classes=5, ngram_width=None, **options):
        config = NetworkConfig(units=8, embedding_size=12, buckets=BUCKETS, **options)
        shape = Shape(TOKENS, classes, ngrams, BUCKETS, ngram_width)
        parts = OnnxParts.copy_of(to_onnx(network(config, shape, spread=0.3), config))
        if ngrams:
            idf = np.abs(parts[IDF]) + 0.5
            idf[np.random.default_rng(3).random(len(idf)) < 0.4] = 0
            idf[0] = 0
            parts[IDF] = idf
            parts[NGRAMS] = parts[NGRAMS] * (idf > 0)[:, None]
        return parts.model

    return build


def constant(model, name):
    (found,) = (each for each in model.graph.initializer if each.name == name)
    return numpy_helper.to_array(found)


def flat_matrix(rows, columns, rank=4):
    """A matrix of a low rank."""
    generator = np.random.default_rng(3)
    product = generator.normal(size=(rows, rank)) @ generator.normal(size=(rank, columns))
    return product.astype(np.float32)


def seen_rows(model):
    return np.flatnonzero(constant(model, IDF) > 0)


@pytest.mark.parametrize("options", [{}, {"input": "one_hot", "layers": 2}], ids=str)
def test_a_plan_that_keeps_everything_changes_no_bit(lowered, onnx_logits, options, texts):
    model = lowered(**options)
    everything = PruningPlan(tokens=np.arange(TOKENS), ngrams=np.arange(len(constant(model, IDF))))
    assert (onnx_logits(prune(model, everything), texts) == onnx_logits(model, texts)).all()


def test_removing_unseen_ngrams_changes_no_answer(lowered, onnx_logits, texts):
    model = lowered()
    smaller = prune(model, PruningPlan(ngrams=seen_rows(model)))
    assert len(constant(smaller, NGRAMS)) == len(seen_rows(model)) + 2
    assert (onnx_logits(smaller, texts) == onnx_logits(model, texts)).all()


@pytest.mark.parametrize("absent_idf", [0.0, 1.7])
def test_removed_ngrams_have_no_weights(lowered, onnx_logits, absent_idf, texts):
    model = lowered()
    kept = seen_rows(model)[::3]
    expected = OnnxParts.copy_of(model)
    removed = np.setdiff1d(np.arange(1, len(expected[IDF])), kept)
    weights, idf = expected[NGRAMS].copy(), expected[IDF].copy()
    weights[removed], idf[removed] = 0, absent_idf
    expected[NGRAMS], expected[IDF] = weights, idf
    smaller = prune(model, PruningPlan(ngrams=kept, absent_idf=absent_idf))
    assert (onnx_logits(smaller, texts) == onnx_logits(expected.model, texts)).all()


@pytest.mark.parametrize(
    ("ngrams", "options"), [((1, 2), {}), ((), {}), ((1, 2, 3), {"input": "one_hot"})], ids=str
)
def test_removed_tokens_become_unknown(lowered, onnx_logits, ngrams, options, texts):
    model = lowered(ngrams, **options)
    kept = np.union1d([0, 1, 2], np.arange(5, TOKENS, 3))
    unknown = [np.where(np.isin(text, kept), text, UNKNOWN_ID) for text in texts]
    numbers = np.full(TOKENS, UNKNOWN_ID)
    numbers[kept] = np.arange(len(kept))
    smaller = prune(model, PruningPlan(tokens=kept))
    answers = onnx_logits(smaller, [numbers[text] for text in texts])
    assert (answers == onnx_logits(model, unknown)).all()


def test_everything_at_once_and_in_eight_bits(lowered, onnx_logits, texts):
    model = lowered()
    before = model.SerializeToString(deterministic=True)
    kept = np.union1d([0, 1, 2], np.arange(5, TOKENS, 2))
    numbers = np.full(TOKENS, UNKNOWN_ID)
    numbers[kept] = np.arange(len(kept))
    renumbered = [numbers[text] for text in texts]
    smaller = prune(
        model, PruningPlan(tokens=kept, ngrams=seen_rows(model)[::2], absent_idf=1.0, width=8)
    )
    assert model.SerializeToString(deterministic=True) == before
    exact = onnx_logits(smaller, renumbered)
    narrow = onnx_logits(convert_precision(smaller, "int8"), renumbered)
    assert 0 < np.abs(narrow - exact).max() < 0.1 * exact.std()
    alone = np.concatenate([onnx_logits(smaller, [text]) for text in renumbered])
    assert (alone == exact).all()


def test_token_vectors_keep_their_principal_axes(lowered, onnx_logits, texts):
    model = lowered()
    expected = onnx_logits(model, texts)
    rotated = prune(model, PruningPlan(width=12))
    np.testing.assert_allclose(onnx_logits(rotated, texts), expected, atol=2e-5)
    flat = OnnxParts.copy_of(model)
    flat[EMBEDDING] = flat_matrix(TOKENS, 12, rank=3)
    narrow = prune(flat.model, PruningPlan(width=3))
    assert constant(narrow, EMBEDDING).shape == (TOKENS, 3)
    np.testing.assert_allclose(
        onnx_logits(narrow, texts), onnx_logits(flat.model, texts), atol=2e-5
    )


def test_ngram_vectors_keep_their_principal_axes(lowered, onnx_logits, texts):
    model = lowered(classes=40, ngram_width=10)
    expected = onnx_logits(model, texts)
    rotated = prune(model, PruningPlan(ngram_width=10))
    np.testing.assert_allclose(onnx_logits(rotated, texts), expected, atol=1e-4)
    flat = OnnxParts.copy_of(model)
    flat[NGRAM_KERNEL] = flat_matrix(10, 40)
    narrow = prune(flat.model, PruningPlan(ngram_width=4))
    assert constant(narrow, NGRAMS).shape[1] == 4
    expected = onnx_logits(flat.model, texts)
    np.testing.assert_allclose(onnx_logits(narrow, texts), expected, atol=1e-3)


def test_weights_for_every_class_become_vectors(lowered, onnx_logits, texts):
    model = lowered(classes=9)
    assert NGRAM_KERNEL not in OnnxParts(model)
    rotated = prune(model, PruningPlan(ngram_width=9, ngrams=seen_rows(model)))
    np.testing.assert_allclose(onnx_logits(rotated, texts), onnx_logits(model, texts), atol=1e-4)
    flat = OnnxParts.copy_of(model)
    flat[NGRAMS] = flat_matrix(len(flat[IDF]), 9) * (flat[IDF] > 0)[:, None]
    narrow = prune(flat.model, PruningPlan(ngram_width=4))
    assert constant(narrow, NGRAMS).shape[1] == 4
    together = onnx_logits(narrow, texts)
    np.testing.assert_allclose(together, onnx_logits(flat.model, texts), atol=1e-3)
    alone = np.concatenate([onnx_logits(narrow, [text]) for text in texts])
    assert (alone == together).all()


def test_the_effect_grows_with_frequency_and_differences_between_labels(lowered):
    model = lowered()
    network = OnnxParts.copy_of(model)
    idf = np.full(len(network[IDF]), 3.0, dtype=np.float32)
    weights = np.zeros_like(network[NGRAMS])
    weights[5] = (1, -1, 0, 0, 0)
    weights[6] = (2, -2, 0, 0, 0)
    weights[7] = (9, 9, 9, 9, 9)  # the same for every label: a softmax does not see it
    weights[8], idf[8] = (1, -1, 0, 0, 0), 1.0  # in e^2 times as many texts
    network[NGRAMS], network[IDF] = weights, idf
    effect = ngram_effect(network, multi_label=False)
    assert effect.argsort()[::-1][:3].tolist() == [8, 6, 5]
    assert effect[8] == pytest.approx(effect[5] * np.exp(2))
    assert effect[7] == pytest.approx(0)
    assert ngram_effect(network, multi_label=True)[7] > effect[6]
    of_tokens = token_effect(network, effect)
    assert np.isinf(of_tokens[:3]).all()
    assert of_tokens[3:9].argmax() + 3 == 8


def test_without_ngrams_the_first_tokens_have_the_largest_effect(lowered):
    effect = token_effect(OnnxParts.copy_of(lowered(())))
    assert (np.diff(effect[3:]) < 0).all()


@pytest.mark.parametrize(("classes", "multi_label"), [(4, False), (30, True)])
def test_the_effect_of_ngram_vectors_is_that_of_their_product_with_the_kernel(
    lowered, classes, multi_label
):
    vectors = OnnxParts.copy_of(lowered(classes=classes, ngram_width=6))
    weights = OnnxParts.copy_of(vectors.model)
    weights[NGRAMS] = vectors[NGRAMS] @ vectors[NGRAM_KERNEL]
    weights[NGRAM_KERNEL] = np.eye(classes, dtype=np.float32)
    np.testing.assert_allclose(
        ngram_effect(vectors, multi_label=multi_label),
        ngram_effect(weights, multi_label=multi_label),
        rtol=1e-4,
    )


@pytest.mark.parametrize("ngrams", [(), (2,)])
def test_without_single_token_ngrams_the_first_tokens_determine_the_axes(lowered, ngrams):
    network = OnnxParts.copy_of(lowered(ngrams=ngrams))
    if ngrams:  # pairs alone: no row of a single token has an IDF
        idf = network[IDF].copy()
        idf[:TOKENS] = 0
        network[IDF] = idf
    table = np.zeros((TOKENS, 12), dtype=np.float32)
    table[0, 0], table[1:40, 1], table[40:, 2] = 50, 1, 1  # padding, frequent tokens, rare tokens
    network[EMBEDDING] = table
    kept = OnnxParts(prune(network.model, PruningPlan(width=1)))[EMBEDDING]
    assert (np.abs(kept[1:40]) > 0.99).all()
    assert np.abs(kept[40:]).max() < 0.01
