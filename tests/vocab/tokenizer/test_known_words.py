from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewise.vocab.tokenizer import known_words, word_table
from gatewise.vocab.tokenizer.encoding import Encoder
from gatewise.vocab.tokenizer.known_words import KnownWords
from gatewise.vocab.tokenizer.tokenizer import train_tokenizer
from gatewise.vocab.tokenizer.word_table import LONGEST, WordTable, keys_of

CORPUS = ["The cat's mat_1 [PAD] sat, and the cats are sitting on it. Ünique!"]
TOKENIZERS = {
    "words": train_tokenizer(CORPUS),
    "both cases": train_tokenizer(CORPUS, lowercase=False),
    "pieces": train_tokenizer(CORPUS, pieces=40, accents="strip"),
    "subwords": train_tokenizer(CORPUS * 3, unit="subword", vocab_size=60, normalization="nfkc"),
}
PIECES = [
    *("The", "cats", "sit", "'", "_", "1", ".", "[", "]", " ", "\n", "\t", "\x1c", "\x00", "é"),
    *("[PAD]", "[\x00PAD]", "PAD", "Ü", "=", "\u0338", "ΑΣ", "İ", "x" * 40, "y" * 120),
    *("\u00a0", "\u200b", "\u3000", "［", "中文"),
]


@pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)
@given(
    texts=st.lists(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), max_size=5),
    keep=st.sampled_from(["head", "tail", "both"]),
)
def test_ids_are_the_tokenizer_s(tokenizer, texts, keep):
    encoder = Encoder(tokenizer, max_length=6, keep=keep)
    encoded = encoder.encode([*texts, "The", "cats"])[:-2]  # of several texts by the tokenizer
    for text, expected in zip(texts, encoded, strict=True):
        (alone,) = encoder.encode([text])
        assert alone.ids.tolist() == expected.ids.tolist()
        assert alone.truncated == expected.truncated
    for together in (encoder.encode_together(texts), encoder.encode_together(texts)):
        assert together.ids.tolist() == [id_ for text in encoded for id_ in text.ids.tolist()]
        assert together.lengths.tolist() == [len(text.ids) for text in encoded]
        assert together.truncated.tolist() == [text.truncated for text in encoded]


@given(st.one_of(st.text(st.characters(max_codepoint=127)), st.text()))
def test_ids_of_any_text_are_the_tokenizer_s(text):
    for tokenizer in TOKENIZERS.values():
        assert KnownWords(tokenizer).encode(text) == tokenizer.encode(text).ids
        ids, lengths = KnownWords(tokenizer).encode_together([text, "", text])
        expected = [tokenizer.encode(each).ids for each in (text, "", text)]
        assert ids.tolist() == [*chain.from_iterable(expected)]
        assert lengths.tolist() == [*map(len, expected)]


def test_words_are_forgotten_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr(known_words, "_MAX_WORDS", 3)
    tokenizer = TOKENIZERS["words"]
    words = KnownWords(tokenizer)
    for text in ("the cat sat", "it sat", "on the mat", "the cats are sitting, and"):
        assert words.encode(text) == tokenizer.encode(text).ids
        ids, _ = words.encode_together(["the", text])
        assert ids.tolist() == [*tokenizer.encode("the").ids, *tokenizer.encode(text).ids]


def keys_in_a_row(words):
    lengths = np.array([*map(len, words)])
    return keys_of("".join(words).encode() + bytes(LONGEST), lengths.cumsum() - lengths, lengths)


@given(
    st.lists(st.text("abcdefgh1", min_size=1, max_size=20), min_size=1, max_size=40),
    st.integers(0, 3),
)
def test_a_table_finds_the_words_that_it_holds_and_no_others(words, bits):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(word_table, "_BITS", bits + 1)  # most words have another's slot
        lengths = np.array([*map(len, words)])
        keys = keys_of(
            "".join(words).encode() + bytes(LONGEST), lengths.cumsum() - lengths, lengths
        )
        number = {word: id_ for id_, word in enumerate(dict.fromkeys(words))}
        table = WordTable()
        assert table.look_up(keys).tolist() == [-1] * len(words)
        half = len(words) // 2
        table.add(keys[:, :half], np.array([number[word] for word in words[:half]]))
        for word, found in zip(words, table.look_up(keys).tolist(), strict=True):
            assert found in {-1, number[word]}
            assert found == -1 or (word in words[:half] and len(word) <= LONGEST)


def test_words_of_any_length_are_found_again():
    words = ["a", "ab", "abcdefgh", "abcdefghi", "abcdefghabcdefgh", "bcdefghabcdefgha"]
    keys = keys_in_a_row(words)
    table = WordTable()
    table.add(keys, np.arange(len(words)))
    assert table.look_up(keys).tolist() == [0, 1, 2, 3, 4, 5]


def test_only_tokenizers_of_words_have_them():
    assert KnownWords.of(TOKENIZERS["subwords"]) is not None
    assert KnownWords.of(train_tokenizer(CORPUS, unit="character")) is None
    assert KnownWords.of(train_tokenizer(CORPUS, unit="ngram")) is None
