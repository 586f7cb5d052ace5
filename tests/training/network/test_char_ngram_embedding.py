import numpy as np
import pytest
import tensorflow as tf

from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.network import char_ngram_embedding as module
from gatewise.training.network.build import build, exported_parameters, lookup_tables
from gatewise.training.network.char_ngram_embedding import CharNgramEmbedding
from gatewise.training.network.char_ngrams import CharNgrams
from gatewise.training.network.parameters import parameters
from gatewise.training.network.shape import Shape

ROWS = np.array([[0, 0, 0], [0, 0, 0], [1, 2, 3], [1, 0, 0], [2, 4, 0]], dtype=np.int32)
CHAR_NGRAMS = CharNgrams(ROWS, 5)


def layer_with_vectors(width=4):
    layer = CharNgramEmbedding(CHAR_NGRAMS, width, "uniform")
    layer(np.array([[1]]))
    vectors = np.random.default_rng(1).normal(size=(5, width)).astype(np.float32)
    layer.set_weights([vectors])
    return layer, vectors


def test_a_token_s_vector_is_the_sum_over_the_root_of_the_number_of_ngrams():
    layer, vectors = layer_with_vectors()
    output = layer(np.array([[2, 3], [4, 0]])).numpy()
    np.testing.assert_allclose(output[0, 0], vectors[1:4].sum(axis=0) / np.sqrt(3), atol=1e-6)
    np.testing.assert_array_equal(output[0, 1], vectors[1])
    np.testing.assert_allclose(output[1, 0], (vectors[2] + vectors[4]) / np.sqrt(2), atol=1e-6)
    np.testing.assert_array_equal(output[1, 1], np.zeros(4))


@pytest.mark.parametrize("window", [2, 65_536])
def test_vocabulary_vectors_are_those_of_each_token(window, monkeypatch):
    monkeypatch.setattr(module, "_WINDOW", window)
    layer, _ = layer_with_vectors()
    np.testing.assert_array_equal(layer.vocabulary_vectors(), layer(np.arange(5)[None])[0])


def test_only_ngrams_of_the_batch_get_a_gradient():
    layer, _ = layer_with_vectors()
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(np.array([[3, 3, 0]])))
    (gradient,) = tape.gradient(total, layer.trainable_variables)
    assert isinstance(gradient, tf.IndexedSlices)
    dense = tf.convert_to_tensor(gradient).numpy()
    np.testing.assert_array_equal(dense[[0, 2, 3, 4]], 0)
    np.testing.assert_array_equal(dense[1], 2)  # occurs twice


SHAPE = Shape(5, 3, (1, 2), buckets=7)


def layers_of(ngrams=(1, 2), **settings):
    config = NetworkConfig(units=4, embedding_size=4, **settings)
    model = build(config, Shape(5, 3, ngrams, buckets=7), seed=1, char_ngrams=CHAR_NGRAMS)
    return {layer.name: layer for layer in model.layers if isinstance(layer, CharNgramEmbedding)}


def test_it_is_added_to_a_trained_embedding_and_to_the_weights_of_unigrams(tmp_path):
    layers = layers_of()
    assert layers["spelling"].width == 4
    assert layers["ngram_spelling"].width == 3
    assert not layers["ngram_spelling"].get_weights()[0].any()
    assert set(layers_of(ngrams=(2,))) == {"spelling"}
    assert set(layers_of(ngrams=())) == {"spelling"}
    assert set(layers_of(input="one_hot")) == {"ngram_spelling"}
    frozen = {"vectors": tmp_path / "words.vec", "train_vectors": False}
    assert set(layers_of(**frozen)) == {"ngram_spelling"}


def test_it_is_not_counted_in_the_exported_parameters():
    config = NetworkConfig(units=4, embedding_size=4)
    plain = build(config, SHAPE, seed=1)
    with_ngrams = build(config, SHAPE, seed=1, char_ngrams=CHAR_NGRAMS)
    exported = plain.count_params() - SHAPE.classes  # the bias of the path is added to another
    assert exported_parameters(with_ngrams) == exported_parameters(plain) == exported
    assert sum(layer.count for layer in parameters(config, SHAPE)) == exported
    assert with_ngrams.count_params() == plain.count_params() + 5 * (4 + 3)


def test_lookup_tables():
    config = NetworkConfig(units=4, embedding_size=4)
    model = build(config, Shape(5, 3, (1, 2), buckets=7, ngram_width=2), 1, char_ngrams=CHAR_NGRAMS)
    found = {table.weights.path: table.linear for table in lookup_tables(model)}
    assert found == {
        "embedding/embeddings": False,
        "spelling/vectors": False,
        "ngrams/table": True,
        "ngram_spelling/vectors": True,
    }
    one_hot = NetworkConfig(units=4, input="one_hot", layers=2)
    names = [table.weights.path for table in lookup_tables(build(one_hot, Shape(5, 3, ()), seed=1))]
    assert names == ["recurrent_0/kernel_0", "recurrent_0/kernel_1"]
