import json
import os
import subprocess
import sys
import weakref

import pytest
from gatewise.vocab.errors import CorpusError, TokenizerError
from gatewise.vocab.tokenizer import subwords
from gatewise.vocab.tokenizer.tokenizer import (
    CLS_ID,
    PAD_ID,
    SPECIAL_TOKENS,
    UNKNOWN_ID,
    has_whole_entries,
    measure_coverage,
    parse_tokenizer,
    reduce_tokenizer,
    serialize_tokenizer,
    train_tokenizer,
)
from hypothesis import assume, given
from hypothesis import strategies as st

# Every kind of token, by the settings that ask for it.
UNITS = {
    "word": {"unit": "word"},
    "bpe": {"unit": "subword"},
    "character": {"unit": "character"},
    "bigram": {"unit": "ngram"},
    "5-gram": {"unit": "ngram", "ngram": 5},
}
every_unit = pytest.mark.parametrize("kind", UNITS)
TEXTS = ["The cat sat.", "the dog sat on the cat", "猫が好きです", "แมวนั่งบนเสื่อ", "Ὀδυσσεύς ΟΔΟΣ"]


@every_unit
def test_serialize_and_parse_are_inverse(kind):
    tokenizer = train_tokenizer(TEXTS, **UNITS[kind])
    again = parse_tokenizer(serialize_tokenizer(tokenizer))
    assert serialize_tokenizer(again) == serialize_tokenizer(tokenizer)
    for text in TEXTS:
        assert again.encode(text).ids == tokenizer.encode(text).ids


@every_unit
def test_special_tokens_have_fixed_ids_and_every_text_begins_with_the_mark(kind):
    tokenizer = train_tokenizer(TEXTS, **UNITS[kind])
    assert [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] == [0, 1, 2]
    assert (PAD_ID, UNKNOWN_ID, CLS_ID) == (0, 1, 2)
    assert tokenizer.encode("").ids == [CLS_ID]
    assert tokenizer.encode("the cat").ids[0] == CLS_ID


def test_words_are_cut_at_spaces_and_punctuation():
    tokenizer = train_tokenizer(["don't stop, 3.5€!"])
    assert tokenizer.encode("Don't  STOP,3.5€!").tokens[1:] == [
        *("don", "'", "t", "stop", ",", "3", ".", "5", "€", "!")
    ]


@pytest.mark.parametrize("kind", ["word", "bpe", "bigram"])
@pytest.mark.parametrize(
    "text", ["猫が好き", "แมวนั่ง", "ខ្មែរ", "ພາສາລາວ", "ကချင်", "ガギグ", "𠮷野家"]
)
def test_a_text_without_spaces_is_not_one_unknown_word(kind, text):
    tokenizer = train_tokenizer(["abc", *text], **UNITS[kind])
    ids = tokenizer.encode(text).ids[1:]
    assert len(ids) == len(text)
    assert UNKNOWN_ID not in ids


def test_characters_keep_single_spaces():
    tokenizer = train_tokenizer(["a b"], unit="character")
    assert tokenizer.encode(" \t a \n\u3000 b  ").tokens[1:] == ["a", " ", "b"]


@every_unit
@pytest.mark.parametrize("text", ["", " ", "\u200b\ufeff", "\x00\x1f", "\u2028\t"])
def test_a_text_that_shows_nothing_has_no_token(kind, text):
    tokenizer = train_tokenizer(TEXTS, **UNITS[kind])
    assert tokenizer.encode(text).ids == [CLS_ID]


@every_unit
def test_capital_sigma_becomes_the_same_letter_everywhere(kind):
    tokenizer = train_tokenizer(["οδοσ"], **UNITS[kind])
    assert UNKNOWN_ID not in tokenizer.encode("ΟΔΟΣ").ids


@every_unit
def test_case_is_kept_on_request(kind):
    tokenizer = train_tokenizer(["Turkey turkey"], lowercase=False, **UNITS[kind])
    assert tokenizer.encode("Turkey").ids != tokenizer.encode("turkey").ids
    tokenizer = train_tokenizer(["Turkey turkey"], **UNITS[kind])
    assert tokenizer.encode("Turkey").ids == tokenizer.encode("turkey").ids


@every_unit
@pytest.mark.parametrize("token", SPECIAL_TOKENS)
@pytest.mark.parametrize("lowercase", [True, False])
def test_a_text_that_cleaning_makes_look_like_a_special_token_does_not_stay_one(
    kind, token, lowercase
):
    # JavaScript's tokenizers would take what is left of it for the special token itself.
    tokenizer = train_tokenizer(TEXTS, lowercase=lowercase, **UNITS[kind])
    for text in (f"{token[:2]}\u200b{token[2:]}", f"{token[:-1]}\u00ad]"):
        cleaned = tokenizer.normalizer.normalize_str(text)
        assert cleaned.replace(" ", "").upper() == token
        assert cleaned not in SPECIAL_TOKENS


@every_unit
@pytest.mark.parametrize("normalization", ["none", "nfc", "nfkc", "nfd", "nfkd"])
def test_accents_count_or_not(kind, normalization):
    texts = ["cafe café naïve naive ёж еж が か 각"]
    options = {"normalization": normalization, **UNITS[kind]}
    kept = train_tokenizer(texts, **options)
    stripped = train_tokenizer(texts, accents="strip", **options)
    for plain, accented in (("cafe", "café"), ("naive", "nai\u0308ve"), ("еж", "ёж")):
        assert stripped.encode(plain).ids == stripped.encode(accented).ids
        assert kept.encode(plain).ids != kept.encode(accented).ids
    # These are other letters, not the same with an accent.
    assert stripped.encode("が").ids != stripped.encode("か").ids
    assert UNKNOWN_ID not in stripped.encode("각").ids


@every_unit
@pytest.mark.parametrize(
    ("normalization", "one", "another", "same"),
    [
        ("none", "é", "e\u0301", False),
        ("nfc", "é", "e\u0301", True),
        ("nfd", "é", "e\u0301", True),
        ("nfc", "ﬁ", "fi", False),
        ("nfd", "①", "1", False),
        ("nfkc", "ﬁ", "fi", True),
        ("nfkd", "①", "1", True),
        ("nfkc", "ｱﾞ", "ア\u3099", True),
    ],
)
def test_forms_of_unicode_are_one_or_not(kind, normalization, one, another, same):
    tokenizer = train_tokenizer([one, another], normalization=normalization, **UNITS[kind])
    assert (tokenizer.encode(one).ids == tokenizer.encode(another).ids) is same


def test_a_word_too_long_to_be_known_is_not_in_the_dictionary():
    longest = "x" * subwords.MAX_WORD_CHARACTERS
    tokenizer = train_tokenizer([f"{longest} {longest}y b"])
    assert set(tokenizer.get_vocab()) == {*SPECIAL_TOKENS, longest, "b"}
    assert tokenizer.encode(f"{longest} {longest}y").ids[1:] == [
        tokenizer.token_to_id(longest),
        UNKNOWN_ID,
    ]


@every_unit
@given(texts=st.lists(st.text(max_size=30), min_size=1, max_size=6))
def test_no_token_of_a_text_that_was_learnt_is_unknown(kind, texts):
    # The name of the unknown token is that token, wherever it stands.
    assume(not any("[UNK]" in text.upper() for text in texts))
    shown = [text for text in texts if dictionary_has_tokens(text)]
    assume(shown)
    tokenizer = train_tokenizer(texts, **UNITS[kind])
    for text in shown:
        ids = tokenizer.encode(text).ids
        assert len(ids) > 1
        assert UNKNOWN_ID not in ids


def dictionary_has_tokens(text: str) -> bool:
    probe = train_tokenizer(["a"], unit="character")
    return len(probe.encode(text).ids) > 1


@every_unit
def test_texts_are_read_in_a_stream(kind):
    class Text(str):
        """A string that tells when it is gone."""

    alive = most_alive = 0

    def gone() -> None:
        nonlocal alive
        alive -= 1

    def texts():
        nonlocal alive, most_alive
        for number in range(5000):
            text = Text(f"text {number % 50} of many")
            weakref.finalize(text, gone)
            alive += 1
            most_alive = max(most_alive, alive)
            yield text

    tokenizer = train_tokenizer(texts(), **UNITS[kind])
    assert UNKNOWN_ID not in tokenizer.encode("text 49 of many").ids
    assert 0 < most_alive < 1000


@pytest.mark.parametrize("kind", ["word", "bigram", "character", "bpe"])
def test_an_error_of_the_stream_is_the_callers(kind):
    def texts():
        yield "a text"
        raise CorpusError("the file breaks off")

    with pytest.raises(CorpusError, match="the file breaks off"):
        train_tokenizer(texts(), **UNITS[kind])


def test_size_and_frequency_bound_the_dictionary():
    texts = ["a a a b b c"]
    assert train_tokenizer(texts, vocab_size=5).get_vocab_size() == 5
    kept = train_tokenizer(texts, min_frequency=2)
    assert set(kept.get_vocab()) == {*SPECIAL_TOKENS, "a", "b"}


def test_a_corpus_without_tokens_is_refused():
    with pytest.raises(TokenizerError, match=r"no word occurs 3 times.*min_frequency"):
        train_tokenizer(["a b", "c"], min_frequency=3)


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (b"{}", "not a tokenizer"),
        (b"\xff", "not a tokenizer"),
        (json.dumps({"model": {"type": "BPE"}}).encode(), "its normalizer is not as Gatewise"),
    ],
)
def test_what_is_no_dictionary_is_refused(contents, reason):
    with pytest.raises(TokenizerError, match=reason):
        parse_tokenizer(contents)


def test_a_foreign_tokenizer_is_refused():
    from tokenizers import Tokenizer, models

    foreign = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    with pytest.raises(TokenizerError, match="not trained by Gatewise"):
        parse_tokenizer(foreign.to_str().encode())


def test_coverage_counts_unknown_tokens():
    tokenizer = train_tokenizer(["a b c"])
    coverage = measure_coverage(tokenizer, ["a b", "a x y"])
    assert (coverage.texts, coverage.tokens, coverage.known) == (2, 5, 3)
    assert coverage.share == 0.6


@every_unit
def test_neither_size_nor_frequency_is_exceeded(kind):
    texts = ["one of the best, one of the worst", "猫が好きです the best of cats"] * 2 + ["rare zq"]
    tokenizer = train_tokenizer(texts, vocab_size=20, min_frequency=2, **UNITS[kind])
    assert len(SPECIAL_TOKENS) < tokenizer.get_vocab_size() <= 20
    assert not [token for token in tokenizer.get_vocab() if "z" in token or "rare" in token]


def test_the_same_corpus_gives_the_same_bytes_in_another_process(languages):
    script = (
        "import csv, hashlib, json, sys\n"
        "from gatewise.vocab.tokenizer.tokenizer import serialize_tokenizer, train_tokenizer\n"
        "rows = csv.DictReader(open(sys.argv[1], encoding='utf-8', newline=''))\n"
        "texts = [row['text'] for row in rows]\n"
        "for options in json.loads(sys.argv[2]):\n"
        "    tokenizer = train_tokenizer(texts, vocab_size=1000, **options)\n"
        "    print(hashlib.sha256(serialize_tokenizer(tokenizer)).hexdigest())\n"
    )
    command = [sys.executable, "-c", script, str(languages / "train.csv")]
    command.append(json.dumps(list(UNITS.values())))
    # Once with the threads there are, and once with one; Python's own hashes differ in each.
    outputs = [
        subprocess.run(command, capture_output=True, check=True, env={**os.environ, **more}).stdout
        for more in ({}, {"RAYON_NUM_THREADS": "1"}, {"TOKENIZERS_PARALLELISM": "false"})
    ]
    assert len(outputs[0].split()) == len(UNITS)
    assert len(set(outputs)) == 1


class TestReduced:
    TEXTS = ("the cat sat on the mat", "the dog sat", "a cat")

    @pytest.mark.parametrize("unit", ["word", "character"])
    def test_what_stays_is_found_and_the_rest_is_unknown(self, unit):
        whole = train_tokenizer(self.TEXTS, unit=unit)
        kept = [0, 1, 2, *range(4, whole.get_vocab_size(), 2)]
        small = reduce_tokenizer(whole, kept)
        numbers = {old: new for new, old in enumerate(kept)}
        assert small.get_vocab_size() == len(kept)
        for text in (*self.TEXTS, "Cat [UNK] zebra", ""):
            expected = [numbers.get(old, UNKNOWN_ID) for old in whole.encode(text).ids]
            assert small.encode(text).ids == expected
        parse_tokenizer(serialize_tokenizer(small, pretty=False))

    @pytest.mark.parametrize("unit", ["subword", "ngram"])
    def test_pieces_depend_on_each_other(self, unit):
        pieces = train_tokenizer(self.TEXTS, unit=unit)
        assert not has_whole_entries(pieces)
        with pytest.raises(TokenizerError, match="depend on each other"):
            reduce_tokenizer(pieces, [0, 1, 2, 3])
