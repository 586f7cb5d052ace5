import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from gatewise.vocab.tokenizer.tokenizer import SPECIAL_TOKENS, UNKNOWN_ID, train_tokenizer
from gatewise.vocab.tokenizer.vocabulary import VocabLimits
from gatewise.vocab.tokenizer.word_ngrams import unigram_model

TEXTS = ["one of the best films", "one of the worst", "the best of all, of the best kind"]


def tokens(tokenizer, text):
    return tokenizer.encode(text).tokens[1:]


def test_frequent_ngrams_are_one_token_and_rare_ones_are_their_words():
    tokenizer = train_tokenizer(TEXTS, unit="ngram", ngram=3)
    assert tokens(tokenizer, "one of the films") == [" one  of  the ", " films "]
    assert tokens(tokenizer, "the best, of all") == [" the  best ", ",", " of ", " all "]
    assert tokens(tokenizer, "worst films") == [" worst ", " films "]


def test_an_ngram_matches_whole_words_and_adjacent_unknown_words_are_one_token():
    tokenizer = train_tokenizer(["the rapist"] * 3, unit="ngram")
    the, unknown = tokenizer.token_to_id(" the "), UNKNOWN_ID
    assert tokens(tokenizer, "the rapist") == [" the  rapist "]
    assert tokenizer.encode("therapist").ids[1:] == [unknown]
    assert tokenizer.encode("the rapists").ids[1:] == [the, unknown]
    assert tokenizer.encode("zig the zag zug the").ids[1:] == [unknown, the, unknown, the]


@pytest.mark.parametrize("ngram", [2, 5])
def test_a_token_has_at_most_ngram_words(ngram):
    tokenizer = train_tokenizer(["a b c d e f g"] * 2, unit="ngram", ngram=ngram)
    lengths = [len(token.split()) for token in tokenizer.get_vocab() if token[0] != "["]
    assert sorted(set(lengths)) == list(range(1, ngram + 1))
    (longest,) = {len(token.split()) for token in tokens(tokenizer, " ".join("abcdefg"[:ngram]))}
    assert longest == ngram


@given(
    st.lists(st.lists(st.sampled_from("abcd!"), min_size=1).map(" ".join), min_size=1),
    st.integers(2, 5),
    st.integers(10, 40),
)
def test_the_words_of_an_ngram_are_in_the_vocabulary(texts, ngram, vocab_size):
    tokenizer = train_tokenizer(texts, unit="ngram", ngram=ngram, vocab_size=vocab_size)
    entries = set(tokenizer.get_vocab()) - set(SPECIAL_TOKENS)
    for entry in entries:
        for word in entry.replace("!", " ! ").split():
            assert (word if word == "!" else f" {word} ") in entries


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=30), st.integers(2, 5))
def test_a_text_is_split_into_as_few_tokens_as_possible(words, ngram):
    tokenizer = train_tokenizer(
        TEXTS + ["a b c d", "b c", "a b c", "d d"] * 2, unit="ngram", ngram=ngram
    )
    entries = tokenizer.get_vocab()
    fewest = [0]
    for end in range(1, len(words) + 1):
        fits = (
            fewest[start] + 1
            for start in range(max(0, end - ngram), end)
            if "".join(f" {word} " for word in words[start:end]) in entries
        )
        fewest.append(min(fits, default=10**9))
    assert len(tokens(tokenizer, " ".join(words))) == fewest[-1]


def test_scores_are_exact_and_in_descending_order():
    limits = VocabLimits(40, 1, ("[PAD]", "[UNK]"), "[UNK]")
    model = unigram_model({"b": -1 / 3, "a": -1 / 3, "c": -0.1}, limits)
    written = json.loads(Tokenizer(model).to_str())["model"]
    assert [entry for entry, _ in written["vocab"]] == ["[PAD]", "[UNK]", "c", "a", "b"]
    assert all((score * 1024).is_integer() for _, score in written["vocab"])
