import numpy as np

from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.data import examples
from gatewise.training.fit.document_frequencies import count_ngrams
from gatewise.training.network.build import build
from gatewise.training.network.shape import Shape
from gatewise.training.network.word_splits import WordSplits


def stored(texts, folder):
    ids = [np.array(text) for text in texts]
    return examples.store([(ids, np.zeros(len(ids), np.int32))], folder)


def test_texts_are_counted_and_not_occurrences(tmp_path):
    texts = [[2, 5, 5, 6], [2, 6], [2, 7, 8, 9, 7]] * 200  # more than a batch
    model = build(NetworkConfig(units=4), Shape(12, 3, (1,)), seed=1)
    count_ngrams(model, stored(texts, tmp_path))
    idf = model.get_layer("ngrams").idf.numpy()
    share = {2: 600, 5: 200, 6: 400, 7: 200, 8: 200, 9: 200}
    expected = [1 + np.log(601 / (1 + share[id_])) if id_ in share else 0 for id_ in range(12)]
    np.testing.assert_allclose(idf, expected, rtol=1e-6)


def test_pieces_are_counted_where_rare_words_would_be_split(tmp_path):
    # 5 to 7 are words, 8 to 10 pieces; 5 is in one text.
    texts = [[2, 6], [2, 6, 7], [2, 5, 7], [2, 7, 9]]
    words = WordSplits(range(8, 11), {5: [6, 8], 6: [9], 7: [9]})
    model = build(NetworkConfig(units=4), Shape(11, 3, (1,)), seed=1)
    count_ngrams(model, stored(texts, tmp_path), words)
    idf = model.get_layer("ngrams").idf.numpy()
    # 9 is in a text already; 10 is in no word, and has the weights of its spelling all the same.
    counts = {2: 4, 5: 1, 6: 2, 7: 3, 8: 1, 9: 1, 10: 0}
    expected = [1 + np.log(5 / (1 + counts[id_])) if id_ in counts else 0 for id_ in range(11)]
    np.testing.assert_allclose(idf, expected, rtol=1e-6)


def test_a_network_without_the_linear_path_is_unchanged(tmp_path):
    model = build(NetworkConfig(units=4), Shape(12, 3, ()), seed=1)
    weights = model.get_weights()
    count_ngrams(model, stored([[2, 5]], tmp_path))
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
