import numpy as np
import pytest

from gatewise.training.network.char_ngrams import char_ngrams
from gatewise.vocab.tokenizer.tokenizer import SPECIAL_TOKENS, train_tokenizer


def of(*texts, lengths=(3,), unit="word"):
    tokenizer = train_tokenizer(list(texts), unit=unit)
    return tokenizer, char_ngrams(tokenizer, lengths)


def ngrams_of(tokenizer, found, word):
    row = found.rows[tokenizer.token_to_id(word)]
    return set(row[row > 0].tolist())


def test_words_with_a_similar_spelling_share_ngrams():
    tokenizer, found = of("running runner sunny")
    running, runner, sunny = (
        ngrams_of(tokenizer, found, word) for word in ("running", "runner", "sunny")
    )
    # <ru, run, unn, nne and nni are in them; shared are the first three.
    assert running == runner
    assert len(running) == 3
    assert len(sunny & runner) == len(sunny) == 1  # unn
    assert found.count == 4


def test_an_ngram_of_one_word_is_left_out():
    _, found = of("abc xyz")
    assert found is None


def test_the_start_and_the_end_of_a_word_count():
    tokenizer, found = of("abx aby", lengths=(2,))
    assert len(ngrams_of(tokenizer, found, "abx")) == 2  # <a and ab
    tokenizer, found = of("xab yab", lengths=(2,))
    assert len(ngrams_of(tokenizer, found, "xab")) == 2  # ab and b>


def test_every_length_counts_and_each_ngram_once():
    tokenizer, found = of("ababab abab", lengths=(2, 3))
    # <a ab ba b> and <ab aba bab ab>
    assert len(ngrams_of(tokenizer, found, "ababab")) == 8


def test_the_marks_of_a_dictionary_and_single_characters_are_not_spelled():
    tokenizer, found = of("a b aa ab aac abd", lengths=(2,))
    for token in (*SPECIAL_TOKENS, "a", "b"):
        assert not found.rows[tokenizer.token_to_id(token)].any()
    assert of("some characters of some words", unit="character")[1] is None


def test_every_id_has_a_row_padded_with_zeros():
    tokenizer, found = of("who whole whose wholesome", lengths=(3, 4))
    assert found.rows.dtype == np.int32
    assert len(found.rows) == tokenizer.get_vocab_size()
    assert found.rows.max() == found.count - 1
    filled = found.rows == 0
    np.testing.assert_array_equal(filled, np.sort(filled, axis=1))
    assert not filled.all(axis=0).any()  # no wider than the longest


def test_of_a_long_word_the_first_ngrams_count():
    long = "abcdefghijklmnopqrstuvwxyzabcdefghij"
    tokenizer, found = of(f"{long} {long}k", lengths=(3, 4))
    first, second = (found.rows[tokenizer.token_to_id(word)] for word in (long, f"{long}k"))
    assert found.rows.shape[1] == 24
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("texts", [("ax ay bx by axe bye",), ("bye axe by bx ay ax",)])
def test_numbers_do_not_depend_on_the_order_of_words(texts):
    tokenizer, found = of(*texts, lengths=(2,))
    assert ngrams_of(tokenizer, found, "axe") == {1, 3, 5}  # <a, ax and e>
    assert found.count == 8
