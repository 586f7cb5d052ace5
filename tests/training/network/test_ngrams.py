"""The linear path: the n-grams of a text, and its logits."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfTransformer

from gatewise.service.model.linear_path import MULTIPLIERS, SCALE
from gatewise.training.network.ngrams import NgramLogits, NgramRows
from gatewise.training.network.shape import NgramTable

TABLE = NgramTable(lengths=(1, 2), vocab_size=20, buckets=1000, width=3)


def rows_of(*texts):
    longest = max(map(len, texts))
    ids = np.zeros((len(texts), longest), dtype=np.int32)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = text
    return NgramRows(TABLE)(ids, (ids > 0).astype(np.int32)).numpy()


def pair(first, second):
    return 20 + (first * MULTIPLIERS[0] + second * MULTIPLIERS[1]) % 1000


def test_a_repeated_n_gram_has_one_row():
    found, _ = rows_of([2, 5, 6, 5, 6, 5], [2])
    expected = {2, 5, 6, pair(2, 5), pair(5, 6), pair(6, 5), pair(5, 0)}
    assert sorted(found[found > 0]) == sorted(expected)


def test_the_rows_of_a_text_do_not_depend_on_padding():
    text = [2, 7, 9, 7]
    (alone,) = rows_of(text)
    padded, _ = rows_of(text, list(range(2, 19)))
    np.testing.assert_array_equal(padded[: len(alone)], alone)
    assert not padded[len(alone) :].any()


def path(width=3, classes=3):
    layer = NgramLogits(NgramTable((1, 2), 20, 1000, width), classes)
    layer(np.array([[1]]))
    layer.weights_table.assign(np.random.default_rng(1).normal(size=(1020, width)))
    return layer


@pytest.mark.parametrize("width", [2, 3])
def test_it_is_a_linear_model_of_binary_tf_idf(width):
    texts = [[2, 5, 6, 5], [2, 6, 7], [2, 5, 5, 5, 9]]
    rows = rows_of(*texts)
    has = np.array([np.isin(np.arange(1020), row[row > 0]) for row in rows], dtype=float)
    layer = path(width)
    layer.set_idf(has.sum(axis=0).astype(np.int64), len(texts))
    weights = np.array(layer.weights_table.numpy())
    if width == 2:
        weights = weights @ layer.kernel.numpy()
    expected = SCALE * (TfidfTransformer().fit(has).transform(has) @ weights)
    np.testing.assert_allclose(layer(rows), expected, rtol=1e-4, atol=1e-5)


def test_an_n_gram_of_no_training_text_has_no_weight():
    layer = path()
    known, further = rows_of([2, 5], [2, 5, 11])
    frequencies = np.bincount(known[known > 0], minlength=1020)
    layer.set_idf(frequencies, 1)
    shared = np.where(np.isin(further, known), further, 0)
    np.testing.assert_allclose(layer(further[None]), layer(shared[None]), rtol=1e-6)
    np.testing.assert_array_equal(layer(rows_of([11, 12])), [[0, 0, 0]])
