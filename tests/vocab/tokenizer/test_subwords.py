import pytest
from gatewise.vocab.tokenizer import subwords
from gatewise.vocab.tokenizer.vocab_limits import VocabLimits
from tokenizers import Tokenizer

WORDS = [("low", 5), ("lower", 2), ("newest", 6), ("widest", 3), ("z", 1)]


def sizes(vocab_size=40, min_frequency=1):
    return VocabLimits(vocab_size, min_frequency, ("[PAD]", "[UNK]"), "[UNK]")


def pieces(bounds, words=WORDS):
    return set(Tokenizer(subwords.bpe(words, bounds)).get_vocab()) - {"[PAD]", "[UNK]"}


def test_characters_that_are_too_rare_are_left_out():
    assert "z" in pieces(sizes())
    found = pieces(sizes(min_frequency=2))
    assert found
    assert "z" not in "".join(found)


def test_more_characters_than_there_is_room_for_leave_the_frequent_ones():
    words = [(chr(ord("a") + number), number + 1) for number in range(26)]
    assert pieces(sizes(vocab_size=7), words) == set("zyxwv")


@pytest.mark.parametrize("count", [1, 999, 1000, 1001, 2500])
def test_a_word_is_counted_as_often_as_it_occurs(count):
    texts = list(subwords._repeated([("a", count), ("b", 3)]))
    words = " ".join(texts).split()
    assert (words.count("a"), words.count("b")) == (count, 3)
    assert all(len(text.split()) <= 1000 for text in texts)
