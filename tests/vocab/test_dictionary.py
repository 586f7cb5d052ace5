import json
import subprocess
import sys

import pytest

from vocab import dictionary
from vocab.dictionary import BEGIN_ID, PAD_ID, SPECIAL_TOKENS, UNKNOWN_ID
from vocab.errors import DictionaryError

UNITS = ["word", "subword", "character"]
TEXTS = ["The cat sat.", "the dog sat on the cat", "猫が好きです", "แมวนั่งบนเสื่อ", "Ὀδυσσεύς ΟΔΟΣ"]


@pytest.mark.parametrize("unit", UNITS)
def test_serialize_and_parse_are_inverse(unit):
    tokenizer = dictionary.train(TEXTS, unit=unit)
    again = dictionary.parse(dictionary.serialize(tokenizer))
    assert dictionary.serialize(again) == dictionary.serialize(tokenizer)
    for text in TEXTS:
        assert again.encode(text).ids == tokenizer.encode(text).ids


@pytest.mark.parametrize("unit", UNITS)
def test_special_tokens_have_fixed_ids_and_every_text_begins_with_the_mark(unit):
    tokenizer = dictionary.train(TEXTS, unit=unit)
    assert [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] == [0, 1, 2]
    assert (PAD_ID, UNKNOWN_ID, BEGIN_ID) == (0, 1, 2)
    assert tokenizer.encode("").ids == [BEGIN_ID]
    assert tokenizer.encode("the cat").ids[0] == BEGIN_ID


def test_words_are_cut_at_spaces_and_punctuation():
    tokenizer = dictionary.train(["don't stop, 3.5€!"])
    assert tokenizer.encode("Don't  STOP,3.5€!").tokens[1:] == [
        *("don", "'", "t", "stop", ",", "3", ".", "5", "€", "!")
    ]


@pytest.mark.parametrize("unit", ["word", "subword"])
@pytest.mark.parametrize(
    "text", ["猫が好き", "แมวนั่ง", "ខ្មែរ", "ພາສາລາວ", "ကချင်", "ガギグ", "𠮷野家"]
)
def test_a_text_without_spaces_is_not_one_unknown_word(unit, text):
    tokenizer = dictionary.train(["abc", *text], unit=unit)
    ids = tokenizer.encode(text).ids[1:]
    assert len(ids) == len(text)
    assert UNKNOWN_ID not in ids


def test_characters_keep_single_spaces():
    tokenizer = dictionary.train(["a b"], unit="character")
    assert tokenizer.encode(" \t a \n\u3000 b  ").tokens[1:] == ["a", " ", "b"]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("text", ["", " ", "\u200b\ufeff", "\x00\x1f", "\u2028\t"])
def test_a_text_that_shows_nothing_has_no_token(unit, text):
    tokenizer = dictionary.train(TEXTS, unit=unit)
    assert tokenizer.encode(text).ids == [BEGIN_ID]


def test_capital_sigma_becomes_the_same_letter_everywhere():
    tokenizer = dictionary.train(["οδοσ"])
    assert UNKNOWN_ID not in tokenizer.encode("ΟΔΟΣ").ids


def test_case_is_kept_on_request():
    tokenizer = dictionary.train(["Turkey turkey"], lowercase=False)
    assert tokenizer.encode("Turkey turkey").tokens[1:] == ["Turkey", "turkey"]


def test_size_and_frequency_bound_the_dictionary():
    texts = ["a a a b b c"]
    assert dictionary.train(texts, vocab_size=5).get_vocab_size() == 5
    kept = dictionary.train(texts, min_frequency=2)
    assert set(kept.get_vocab()) == {*SPECIAL_TOKENS, "a", "b"}


def test_a_corpus_without_tokens_is_refused():
    with pytest.raises(DictionaryError, match=r"no word occurs 3 times.*min_frequency"):
        dictionary.train(["a b", "c"], min_frequency=3)


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (b"{}", "not a tokenizer"),
        (b"\xff", "not a tokenizer"),
        (json.dumps({"model": {"type": "BPE"}}).encode(), "not a tokenizer"),
    ],
)
def test_what_is_no_dictionary_is_refused(contents, reason):
    with pytest.raises(DictionaryError, match=reason):
        dictionary.parse(contents)


def test_a_foreign_tokenizer_is_refused():
    from tokenizers import Tokenizer, models

    foreign = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    with pytest.raises(DictionaryError, match="not trained by Gatewise"):
        dictionary.parse(foreign.to_str().encode())


def test_coverage_counts_unknown_tokens():
    tokenizer = dictionary.train(["a b c"])
    coverage = dictionary.coverage(tokenizer, ["a b", "a x y"])
    assert (coverage.texts, coverage.tokens, coverage.known) == (2, 5, 3)
    assert coverage.share == 0.6


@pytest.mark.parametrize("unit", UNITS)
def test_the_same_corpus_gives_the_same_bytes_in_another_process(unit, languages):
    script = (
        "import csv, hashlib, sys\n"
        "from vocab import dictionary\n"
        "rows = csv.DictReader(open(sys.argv[1], encoding='utf-8', newline=''))\n"
        "texts = [row['text'] for row in rows]\n"
        "tokenizer = dictionary.train(texts, unit=sys.argv[2], vocab_size=2000)\n"
        "print(hashlib.sha256(dictionary.serialize(tokenizer)).hexdigest())\n"
    )
    command = [sys.executable, "-c", script, str(languages / "train.csv"), unit]
    digests = {subprocess.run(command, capture_output=True, check=True).stdout for _ in range(3)}
    assert len(digests) == 1
