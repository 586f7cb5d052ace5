import numpy as np
import pytest

from gatewise.vocab.tokenizer.coverage import Coverage, CoverageCounter, measure_coverage
from gatewise.vocab.tokenizer.tokenizer import UNKNOWN_ID, train_tokenizer


@pytest.mark.parametrize("pieces", [0, 20])
def test_unknown_words_are_counted(pieces):
    coverage = measure_coverage(train_tokenizer(["a b c"], pieces=pieces), ["a b", "a x y"])
    assert coverage == Coverage(texts=2, tokens=5, known=3)
    assert coverage.share == 0.6
    assert coverage.unknown == 2


def test_a_word_in_pieces_counts_as_one_that_is_not_known():
    tokenizer = train_tokenizer(["low lower slow new"], pieces=50)
    tokens = tokenizer.encode("slower low new zoo slo s").tokens[1:]
    assert tokens == ["slow", "##e", "##r", "low", "new", "[UNK]", "s", "##l", "##o", "s"]
    coverage = measure_coverage(tokenizer, ["slower low new zoo slo s", "", "lower"])
    # slower and slo are in pieces; s is a piece, not a word.
    assert coverage == Coverage(texts=3, tokens=7, known=3, in_pieces=3)


def test_words_of_different_texts_are_apart():
    tokenizer = train_tokenizer(["low lower slow new"], pieces=50)
    low, piece = tokenizer.token_to_id("low"), tokenizer.token_to_id("##e")
    counter = CoverageCounter(tokenizer)
    assert counter.has_pieces
    texts = [np.array([low, piece, piece]), np.array([low]), np.array([UNKNOWN_ID])]
    assert counter.count(texts) == Coverage(texts=3, tokens=3, known=1, in_pieces=1)
    assert counter.count_unknown(texts) == 2
    assert [counter.count_unknown([text]) for text in texts] == [1, 0, 1]
    # The begin of a text that was cut off: its word is not counted.
    assert counter.count([np.array([piece, low])]) == Coverage(1, 1, 1)


@pytest.mark.parametrize("unit", ["word", "character", "subword", "ngram"])
def test_other_tokenizers_have_no_pieces_of_words(unit):
    tokenizer = train_tokenizer(["low lower ## # ##"] * 2, unit=unit)
    counter = CoverageCounter(tokenizer)
    assert not counter.has_pieces
    ids = np.arange(tokenizer.get_vocab_size())
    assert counter.count([ids]) == Coverage(1, len(ids), len(ids) - 1)
    assert CoverageCounter().count([ids]) == counter.count([ids])
    assert counter.count_unknown([ids]) == counter.count_unknown([ids[:2], ids[2:]]) == 1
