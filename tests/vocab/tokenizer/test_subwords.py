import json

import pytest
from gatewise.vocab.tokenizer import subwords
from gatewise.vocab.tokenizer.vocab_limits import VocabLimits
from tokenizers import Tokenizer

WORDS = [("low", 5), ("lower", 2), ("newest", 6), ("widest", 3), ("z", 1)]


def sizes(vocab_size=40, min_frequency=1):
    return VocabLimits(vocab_size, min_frequency, ("[PAD]", "[UNK]"), "[UNK]")


def pieces(model):
    return set(Tokenizer(model).get_vocab()) - {"[PAD]", "[UNK]"}


def marked(words):
    return [(f" {word}", count) for word, count in words]


MODELS = {
    "bpe": lambda bounds: subwords.bpe(WORDS, bounds),
    "wordpiece": lambda bounds: subwords.wordpiece(WORDS, bounds),
    "unigram": lambda bounds: subwords.unigram(marked(WORDS), bounds),
}


def test_wordpiece_tells_pieces_at_the_start_from_those_inside():
    tokenizer = Tokenizer(subwords.wordpiece(WORDS, sizes()))
    assert tokenizer.encode("lowest").tokens[0].startswith("l")
    assert all(token.startswith("##") for token in tokenizer.encode("lowest").tokens[1:])
    assert "".join(tokenizer.encode("widew").tokens).replace("##", "") == "widew"
    assert tokenizer.encode("lox").tokens == ["[UNK]"]


def test_unigram_takes_the_likeliest_way():
    tokenizer = Tokenizer(subwords.unigram(marked(WORDS), sizes()))
    for word, _ in WORDS:
        assert "".join(tokenizer.encode(f" {word}").tokens) == f" {word}"
    # A word that is learnt often is a piece of its own, where there is room.
    assert tokenizer.encode(" newest").tokens == [" newest"]


def test_unigram_drops_pieces_until_they_fit():
    several = {size: pieces(subwords.unigram(marked(WORDS), sizes(size))) for size in (14, 18, 40)}
    assert all(len(found) <= size - 2 for size, found in several.items())
    characters = set("".join(word for word, _ in marked(WORDS)))
    assert all(characters <= found for found in several.values())
    assert len(several[14]) < len(several[40])


def test_scores_are_exact_and_in_descending_order():
    model = subwords.scored_entries({"b": -1 / 3, "a": -1 / 3, "c": -0.1}, sizes())
    written = json.loads(Tokenizer(model).to_str())["model"]
    assert [entry for entry, _ in written["vocab"]] == ["[PAD]", "[UNK]", "c", "a", "b"]
    assert all((score * 1024).is_integer() for _, score in written["vocab"])


@pytest.mark.parametrize("model", MODELS)
def test_characters_that_are_too_rare_are_left_out(model):
    assert "z" in pieces(MODELS[model](sizes()))
    found = pieces(MODELS[model](sizes(min_frequency=2)))
    assert found
    assert "z" not in "".join(found)


@pytest.mark.parametrize("model", [subwords.bpe, subwords.wordpiece, subwords.unigram])
def test_more_characters_than_there_is_room_for_leave_the_frequent_ones(model):
    words = [(chr(ord("a") + number), number + 1) for number in range(26)]
    found = pieces(model(words, sizes(vocab_size=7)))
    assert found == set("zyxwv")


@pytest.mark.parametrize("count", [1, 999, 1000, 1001, 2500])
def test_a_word_is_counted_as_often_as_it_occurs(count):
    texts = list(subwords._repeated([("a", count), ("b", 3)]))
    words = " ".join(texts).split()
    assert (words.count("a"), words.count("b")) == (count, 3)
    assert all(len(text.split()) <= 1000 for text in texts)


def test_the_best_way_without_a_piece_is_made_of_others():
    scores = {"abc": -1.0, "ab": -2.0, "a": -5.0, "b": -5.0, "c": -4.0}
    assert subwords._best_without("abc", scores) == -6.0
    assert subwords._best_without("ab", scores) == -10.0
