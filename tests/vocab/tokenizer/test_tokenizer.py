import json
import os
import subprocess
import sys
import weakref

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gatewise.training.network.word_splits import word_splits
from gatewise.vocab.errors import CorpusError, TokenizerError
from gatewise.vocab.tokenizer.coverage import measure_coverage
from gatewise.vocab.tokenizer.tokenizer import (
    CLS_ID,
    MAX_WORD_CHARACTERS,
    PAD_ID,
    SPECIAL_TOKENS,
    UNKNOWN_ID,
    grow_tokenizer,
    has_independent_entries,
    reduce_tokenizer,
    train_tokenizer,
)
from gatewise.vocab.tokenizer.tokenizer_json import parse_tokenizer, serialize_tokenizer

# The settings for every kind of token.
UNITS = {
    "word": {"unit": "word"},
    "pieces": {"unit": "word", "pieces": 8},
    "bpe": {"unit": "subword"},
    "character": {"unit": "character"},
    "ngram": {"unit": "ngram", "ngram": 3},
}
every_unit = pytest.mark.parametrize("kind", UNITS)
TEXTS = ["The cat sat.", "the dog sat on the cat", "猫が好きです", "แมวนั่งบนเสื่อ", "Ὀδυσσεύς ΟΔΟΣ"]


@every_unit
def test_special_tokens_have_fixed_ids_and_every_text_begins_with_cls(kind):
    tokenizer = train_tokenizer(TEXTS, **UNITS[kind])
    assert [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] == [0, 1, 2]
    assert (PAD_ID, UNKNOWN_ID, CLS_ID) == (0, 1, 2)
    for invisible in ("", "\u200b\x00\u2028\t"):
        assert tokenizer.encode(invisible).ids == [CLS_ID]


def test_words_are_split_at_spaces_and_punctuation_and_characters_keep_single_spaces():
    tokenizer = train_tokenizer(["don't stop, 3.5€!"])
    assert tokenizer.encode("Don't  STOP,3.5€!").tokens[1:] == [
        *("don", "'", "t", "stop", ",", "3", ".", "5", "€", "!")
    ]
    tokenizer = train_tokenizer(["a b"], unit="character")
    assert tokenizer.encode(" \t a \n\u3000 b  ").tokens[1:] == ["a", " ", "b"]


@pytest.mark.parametrize("kind", ["word", "pieces", "bpe", "ngram"])
def test_a_text_without_spaces_is_not_one_unknown_word(kind):
    for text in ("猫が好き", "แมวนั่ง", "ខ្មែរ", "ພາສາລາວ", "ကချင်", "ガギグ", "𠮷野家"):
        tokenizer = train_tokenizer(["abc", *text], **UNITS[kind])
        ids = tokenizer.encode(text).ids[1:]
        assert len(ids) == len(text)
        assert UNKNOWN_ID not in ids


@every_unit
def test_case_is_folded_unless_it_is_kept(kind):
    cased = train_tokenizer(["Turkey turkey"], lowercase=False, **UNITS[kind])
    assert cased.encode("Turkey").ids != cased.encode("turkey").ids
    folded = train_tokenizer(["Turkey turkey οδοσ"], **UNITS[kind])
    assert folded.encode("Turkey").ids == folded.encode("turkey").ids
    # Capital sigma becomes the same letter everywhere.
    assert UNKNOWN_ID not in folded.encode("ΟΔΟΣ").ids


@every_unit
@pytest.mark.parametrize("lowercase", [True, False])
def test_special_tokens_that_appear_after_cleaning_are_escaped(kind, lowercase):
    # JavaScript's tokenizers would recognize them.
    tokenizer = train_tokenizer(TEXTS, lowercase=lowercase, **UNITS[kind])
    for token in SPECIAL_TOKENS:
        cleaned = tokenizer.normalizer.normalize_str(f"{token[:2]}\u200b{token[2:]}")
        assert cleaned.replace(" ", "").upper() == token
        assert cleaned not in SPECIAL_TOKENS


@every_unit
@pytest.mark.parametrize("normalization", ["none", "nfkd"])
def test_accents_are_kept_or_stripped(kind, normalization):
    texts = ["cafe café naïve naive ёж еж が か 각"]
    options = {"normalization": normalization, **UNITS[kind]}
    kept = train_tokenizer(texts, **options)
    stripped = train_tokenizer(texts, accents="strip", **options)
    for plain, accented in (("cafe", "café"), ("naive", "nai\u0308ve"), ("еж", "ёж")):
        assert stripped.encode(plain).ids == stripped.encode(accented).ids
        assert kept.encode(plain).ids != kept.encode(accented).ids
    # These are other letters, not letters with an accent.
    assert stripped.encode("が").ids != stripped.encode("か").ids
    assert UNKNOWN_ID not in stripped.encode("각").ids


@pytest.mark.parametrize(
    ("normalization", "one", "another", "same"),
    [
        ("none", "é", "e\u0301", False),
        ("nfc", "é", "e\u0301", True),
        ("nfd", "é", "e\u0301", True),
        ("nfc", "ﬁ", "fi", False),
        ("nfkc", "ﬁ", "fi", True),
        ("nfkd", "①", "1", True),
    ],
)
def test_unicode_normalization(normalization, one, another, same):
    tokenizer = train_tokenizer([one, another], normalization=normalization)
    assert (tokenizer.encode(one).ids == tokenizer.encode(another).ids) is same


def test_a_word_that_is_too_long_is_unknown():
    longest = "x" * MAX_WORD_CHARACTERS
    tokenizer = train_tokenizer([f"{longest} {longest}y b"])
    assert set(tokenizer.get_vocab()) == {*SPECIAL_TOKENS, longest, "b"}
    ids = tokenizer.encode(f"{longest} {longest}y").ids[1:]
    assert ids == [tokenizer.token_to_id(longest), UNKNOWN_ID]


@every_unit
@given(texts=st.lists(st.text(max_size=30), min_size=1, max_size=6))
def test_no_token_of_a_training_text_is_unknown(kind, texts):
    # A text may contain the unknown token itself.
    assume(not any("[UNK]" in text.upper() for text in texts))
    with_tokens = [text for text in texts if has_tokens(text)]
    assume(with_tokens)
    tokenizer = train_tokenizer(texts, **UNITS[kind])
    for text in with_tokens:
        ids = tokenizer.encode(text).ids
        assert len(ids) > 1
        assert UNKNOWN_ID not in ids


PROBE = train_tokenizer(["a"], unit="character")


def has_tokens(text):
    return len(PROBE.encode(text).ids) > 1


@every_unit
def test_texts_are_read_in_a_stream(kind):
    class Text(str):
        """A string that can be referenced weakly."""

    alive, max_alive = set(), 0

    def texts():
        nonlocal max_alive
        for number in range(5000):
            text = Text(f"text {number % 50} of many")
            alive.add(number)
            weakref.finalize(text, alive.discard, number)
            max_alive = max(max_alive, len(alive))
            yield text

    tokenizer = train_tokenizer(texts(), **UNITS[kind])
    assert UNKNOWN_ID not in tokenizer.encode("text 49 of many").ids
    assert 0 < max_alive < 1000


@pytest.mark.parametrize("kind", ["word", "pieces", "bpe"])
def test_an_error_of_the_stream_is_raised(kind):
    def texts():
        yield "a text"
        raise CorpusError("the file is damaged")

    with pytest.raises(CorpusError, match="the file is damaged"):
        train_tokenizer(texts(), **UNITS[kind])


def test_an_empty_vocabulary_is_refused():
    with pytest.raises(TokenizerError, match=r"no word occurs 3 times.*min_frequency"):
        train_tokenizer(["a b", "c"], min_frequency=3)


@every_unit
def test_the_limits_hold_for_every_unit(kind):
    texts = ["one of the best, one of the worst", "猫が好きです the best of cats"] * 2 + ["rare zq"]
    tokenizer = train_tokenizer(texts, vocab_size=20, min_frequency=2, **UNITS[kind])
    assert len(SPECIAL_TOKENS) < tokenizer.get_vocab_size() <= 20
    assert not [token for token in tokenizer.get_vocab() if "z" in token or "rare" in token]


def test_the_same_corpus_gives_the_same_bytes_in_another_process(languages):
    script = (
        "import csv, hashlib, json, sys\n"
        "from gatewise.vocab.tokenizer.tokenizer import train_tokenizer\n"
        "from gatewise.vocab.tokenizer.tokenizer_json import serialize_tokenizer\n"
        "rows = csv.DictReader(open(sys.argv[1], encoding='utf-8', newline=''))\n"
        "texts = [row['text'] for row in rows]\n"
        "for options in json.loads(sys.argv[2]):\n"
        "    tokenizer = train_tokenizer(texts, vocab_size=1000, **options)\n"
        "    print(hashlib.sha256(serialize_tokenizer(tokenizer)).hexdigest())\n"
    )
    command = [sys.executable, "-c", script, str(languages / "train.csv")]
    command.append(json.dumps(list(UNITS.values())))
    # With all threads and with one; Python's hashes differ in every process.
    outputs = [
        subprocess.run(command, capture_output=True, check=True, env={**os.environ, **more}).stdout
        for more in ({}, {"RAYON_NUM_THREADS": "1"})
    ]
    assert len(outputs[0].split()) == len(UNITS)
    assert len(set(outputs)) == 1


REDUCED = ("the cat sat on the mat", "the dog sat", "a cat")


@pytest.mark.parametrize("unit", ["word", "character"])
def test_removed_entries_become_unknown(unit):
    full = train_tokenizer(REDUCED, unit=unit)
    kept = [0, 1, 2, *range(4, full.get_vocab_size(), 2)]
    small = reduce_tokenizer(full, kept)
    numbers = {old: new for new, old in enumerate(kept)}
    assert small.get_vocab_size() == len(kept)
    for text in (*REDUCED, "Cat [UNK] zebra", ""):
        expected = [numbers.get(old, UNKNOWN_ID) for old in full.encode(text).ids]
        assert small.encode(text).ids == expected
    parse_tokenizer(serialize_tokenizer(small, pretty=False))


def test_a_removed_word_is_read_as_pieces_if_there_are_any():
    full = train_tokenizer(["low lower lowest slow"], pieces=50)
    kept = [id_ for entry, id_ in full.get_vocab().items() if entry != "lower"]
    small = reduce_tokenizer(full, sorted(kept))
    assert full.encode("lower").tokens[1:] == ["lower"]
    assert small.encode("lower lowest").tokens[1:] == ["lowe", "##r", "lowest"]
    parse_tokenizer(serialize_tokenizer(small, pretty=False))


@pytest.mark.parametrize("unit", ["subword", "ngram"])
def test_entries_that_depend_on_each_other_cannot_be_removed(unit):
    pieces = train_tokenizer(REDUCED, unit=unit)
    assert not has_independent_entries(pieces)
    with pytest.raises(TokenizerError, match="depend on each other"):
        reduce_tokenizer(pieces, [0, 1, 2, 3])


def test_new_words_follow_the_pieces_and_old_ids_stay():
    first = train_tokenizer(["walk walks walking talk"], pieces=30)
    grown = grow_tokenizer(first, train_tokenizer(["talks walk sing"]), 100)
    old, new = (each.get_vocab(with_added_tokens=False) for each in (first, grown))
    assert old.items() <= new.items()
    added = sorted(new.keys() - old.keys(), key=new.__getitem__)
    assert added == ["##", "sing", "talks"]
    assert grown.encode("Sing walks #").tokens == ["[CLS]", "sing", "walks", "[UNK]"]
    assert parse_tokenizer(serialize_tokenizer(grown)).to_str() == grown.to_str()
    # They are words; a word that neither knows is read as pieces.
    assert word_splits(grown).pieces.keys() >= {new["talks"]}
    coverage = measure_coverage(grown, ["talks walkin sing"])
    assert (coverage.known, coverage.in_pieces) == (2, 1)
    again = grow_tokenizer(grown, train_tokenizer(["ring ##"]), 100)
    assert again.get_vocab_size() == grown.get_vocab_size() + 2
    assert grow_tokenizer(first, train_tokenizer(["ring"]), 3).to_str() == first.to_str()


def test_characters_grow_and_merges_do_not():
    characters, merges = (train_tokenizer(["abc abd"], unit=u) for u in ("character", "subword"))
    grown = grow_tokenizer(characters, train_tokenizer(["xa"], unit="character"), 100)
    assert grown.encode("ax").ids == [
        CLS_ID,
        characters.token_to_id("a"),
        len(characters.get_vocab()),
    ]
    other = train_tokenizer(["xyz"], unit="subword")
    assert grow_tokenizer(merges, other, 100).to_str() == merges.to_str()
