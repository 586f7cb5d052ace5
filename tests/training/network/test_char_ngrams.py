import numpy as np

from gatewise.training.network.char_ngrams import char_ngrams
from gatewise.vocab.tokenizer.tokenizer import SPECIAL_TOKENS, train_tokenizer


def of(*texts, lengths=(3,), **options):
    tokenizer = train_tokenizer(list(texts), **options)
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


def test_the_ends_of_a_word_and_every_length_count_and_each_ngram_once():
    for texts, lengths, word, count in (
        ("abx aby", (2,), "abx", 2),  # <a and ab
        ("xab yab", (2,), "xab", 2),  # ab and b>
        ("ababab abab", (2, 3), "ababab", 8),  # <a ab ba b> and <ab aba bab ab>
    ):
        tokenizer, found = of(texts, lengths=lengths)
        assert len(ngrams_of(tokenizer, found, word)) == count
    assert of("abc xyz")[1] is None  # n-grams of one word are left out


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
    assert len(first) == 24
    np.testing.assert_array_equal(first, second)


def test_numbers_do_not_depend_on_the_order_of_words():
    for text in ("ax ay bx by axe bye", "bye axe by bx ay ax"):
        tokenizer, found = of(text, lengths=(2,))
        assert ngrams_of(tokenizer, found, "axe") == {1, 3, 5}  # <a, ax and e>
        assert found.count == 8


def test_a_piece_of_a_word_has_no_mark_where_the_word_goes_on():
    tokenizer, found = of("walk walks walking talk talking", lengths=(2, 3), pieces=100)
    walk, talk, piece, inside, begin = (
        ngrams_of(tokenizer, found, token) for token in ("walk", "talk", "##alk", "##ing", "wal")
    )
    assert piece < walk & talk  # al, lk, alk and neither k> nor lk>
    assert len(piece) == 3
    assert len(inside) == 5  # in, ng, ing, and g> and ng>: it ends more words than not
    assert inside < ngrams_of(tokenizer, found, "walking")
    assert begin < walk  # <w, wa, al, <wa and wal
    assert len(begin) == 5
    assert len(ngrams_of(tokenizer, found, "w")) == 1  # <w
    assert len(ngrams_of(tokenizer, found, "##k")) == 1  # k>


def test_pieces_add_no_ngrams():
    texts = ("walk walks walking talk talking",)
    _, without = of(*texts, lengths=(2, 3))
    tokenizer, found = of(*texts, lengths=(2, 3), pieces=100)
    assert found.count == without.count
    count = len(without.rows)
    np.testing.assert_array_equal(found.rows[:count, : without.rows.shape[1]], without.rows)
    assert len(found.rows) == tokenizer.get_vocab_size() > count
