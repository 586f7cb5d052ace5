from tokenizers import Tokenizer

from gatewise.vocab.tokenizer import subwords
from gatewise.vocab.tokenizer.vocabulary import VocabLimits

WORDS = [("low", 5), ("lower", 2), ("newest", 6), ("widest", 3), ("z", 1)]


def entries(words=WORDS, vocab_size=40, min_frequency=1):
    limits = VocabLimits(vocab_size, min_frequency, ("[PAD]", "[UNK]"), "[UNK]")
    return set(Tokenizer(subwords.train_bpe(words, limits)).get_vocab()) - {"[PAD]", "[UNK]"}


def test_rare_characters_are_left_out():
    assert "z" in entries()
    assert "z" not in "".join(entries(min_frequency=2))


def test_the_most_frequent_characters_are_kept():
    words = [(chr(ord("a") + number), number + 1) for number in range(26)]
    assert entries(words, vocab_size=7) == set("zyxwv")


def test_merges_follow_the_counts_of_the_words():
    assert entries([("ab", 2001), ("cd", 2000)], vocab_size=7) == {*"abcd", "ab"}
    assert entries([("ab", 2000), ("cd", 2001)], vocab_size=7) == {*"abcd", "cd"}
