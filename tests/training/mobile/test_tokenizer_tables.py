import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from gatewise.training.mobile.tokenizer_tables import TokenizerTablesError, read_tables
from gatewise.vocab.tokenizer import character_classes
from gatewise.vocab.tokenizer.character_classes import members
from gatewise.vocab.tokenizer.tokenizer import SPECIAL_TOKENS, train_tokenizer

TEXTS = ["The cat sat.", "猫が好き", "Ὀδυσσεύς ΟΔΟΣ", "İstanbul", "don't", "C# [CLS]"]
CHARACTERS = st.characters(exclude_categories=["Cs"])


def changed(tokenizer, change):
    """A copy of a tokenizer with its `tokenizer.json` changed."""
    document = json.loads(tokenizer.to_str())
    change(document)
    return Tokenizer.from_str(json.dumps(document))


@pytest.mark.parametrize("unit", ["word", "character"])
def test_the_classes_are_those_of_the_tokenizer(unit):
    tables = read_tables(train_tokenizer(TEXTS, unit=unit), unit)
    isolated = members(character_classes.isolated()) - tables.dropped if unit == "word" else set()
    assert tables.dropped == members(character_classes.dropped())
    assert tables.spaces == members(character_classes.white_space())
    assert tables.isolated == isolated


@pytest.fixture(scope="module")
def words():
    tokenizer = train_tokenizer(TEXTS)
    return tokenizer, read_tables(tokenizer, "word")


@settings(max_examples=100)
@given(character=CHARACTERS)
def test_lower_case_is_that_of_the_tokenizer(words, character):
    tokenizer, tables = words
    becomes = tables.lowercase.get(character, character)
    assert tokenizer.normalizer.normalize_str(character) == (
        "" if ord(character) in tables.dropped else becomes
    )


@pytest.mark.parametrize(
    ("unit", "lowercase"), [("word", True), ("word", False), ("character", True)]
)
def test_the_ids_are_those_of_all_tokens_but_the_special_ones(unit, lowercase):
    tokenizer = train_tokenizer(TEXTS, unit=unit, lowercase=lowercase)
    tables = read_tables(tokenizer, unit)
    special = dict(zip(SPECIAL_TOKENS, range(3), strict=True))
    assert tables.ids | special == tokenizer.get_vocab()
    assert bool(tables.lowercase) == lowercase


def test_unreachable_tokens_are_left_out():
    tokenizer = train_tokenizer(["a"])
    strange = ["Upper", "two words", "a.b", "zero\u200dwidth", "", "l" * 101]

    def add(document):
        document["model"]["vocab"] |= {token: 10 + at for at, token in enumerate(strange)}

    tokenizer = changed(tokenizer, add)
    assert read_tables(tokenizer, "word").ids == {"a": 3}
    for token in strange:
        assert not set(tokenizer.encode(token).ids) & set(range(10, 20))


def test_the_classes_may_be_those_of_another_version_of_unicode():
    def drop_less(document):
        first = document["normalizer"]["normalizers"][0]["pattern"]
        first["Regex"] = first["Regex"].replace(r"\x{feff}", "")

    tables = read_tables(changed(train_tokenizer(TEXTS), drop_less), "word")
    assert tables.dropped == members(character_classes.dropped()) - {0xFEFF}


@pytest.mark.parametrize("unit", ["subword", "ngram"])
def test_subwords_and_ngrams_are_refused(unit):
    tokenizer = train_tokenizer(TEXTS * 3, unit=unit)
    with pytest.raises(TokenizerTablesError, match=rf"received {unit}: .*tokenizer\.json"):
        read_tables(tokenizer, unit)
    for another in ("word", "character"):
        with pytest.raises(TokenizerTablesError, match="received a different one"):
            read_tables(tokenizer, another)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"accents": "strip", "normalization": "nfkc"}, "tokens.accents=strip"),
        ({"normalization": "nfkd", "lowercase": False}, "tokens.normalization=nfkd"),
        (
            {"unit": "character", "lowercase": False},
            r"tokens\.lowercase=true, received tokens\.lowercase=false",
        ),
    ],
)
def test_settings_that_are_not_supported_are_refused_by_name(options, named):
    with pytest.raises(TokenizerTablesError, match=named):
        read_tables(train_tokenizer(TEXTS, **options), options.get("unit", "word"))


CHANGES = {
    "another step": lambda d: d["normalizer"]["normalizers"].append({"type": "NFC"}),
    "another split": lambda d: d.update(pre_tokenizer={"type": "WhitespaceSplit"}),
    "another token": lambda d: d["added_tokens"].append(
        dict(d["added_tokens"][0], id=9, content="<name>")
    ),
    "another limit": lambda d: d["model"].update(max_input_chars_per_word=50),
    "spaces around special tokens": lambda d: d["added_tokens"][1].update(lstrip=True),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_any_other_tokenizer_is_refused(change):
    tokenizer = changed(train_tokenizer(TEXTS), change)
    with pytest.raises(TokenizerTablesError, match="received a different one"):
        read_tables(tokenizer, "word")


@pytest.mark.parametrize(
    ("isolated", "message"),
    [
        (lambda isolated: isolated - {ord("[")}, "expected square brackets to be tokens by them"),
        (lambda isolated: isolated | {ord("a")}, r"U\+0041 becomes 'a' in lower case"),
    ],
)
def test_other_isolated_characters_are_refused(isolated, message):
    def change(document):
        pattern = document["pre_tokenizer"]["pretokenizers"][1]["pattern"]
        pattern["Regex"] = character_classes.class_of(isolated(members(pattern["Regex"])))

    with pytest.raises(TokenizerTablesError, match=message):
        read_tables(changed(train_tokenizer(TEXTS), change), "word")
