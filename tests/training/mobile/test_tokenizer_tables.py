import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from gatewise.training.mobile.tokenizer_tables import TokenizerTablesError, read_tables
from gatewise.vocab.tokenizer import character_classes
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
    assert tables.dropped == character_classes.members(character_classes.dropped())
    assert tables.spaces == character_classes.members(character_classes.white_space())
    isolated = (
        character_classes.members(character_classes.isolated()) - tables.dropped
        if unit == "word"
        else ()
    )
    assert tables.isolated == frozenset(isolated)


@pytest.fixture(scope="module")
def words():
    tokenizer = train_tokenizer(TEXTS)
    return tokenizer, read_tables(tokenizer, "word")


@settings(max_examples=300)
@given(character=CHARACTERS)
def test_lower_case_is_that_of_the_tokenizer(words, character):
    tokenizer, tables = words
    becomes = tables.lowercase.get(character, character)
    assert tokenizer.normalizer.normalize_str(character) == (
        "" if ord(character) in tables.dropped else becomes
    )


def test_a_cased_tokenizer_changes_no_character():
    tokenizer = train_tokenizer(TEXTS, lowercase=False)
    assert read_tables(tokenizer, "word").lowercase == {}


@pytest.mark.parametrize(
    ("unit", "lowercase"), [("word", True), ("word", False), ("character", True)]
)
def test_the_ids_are_those_of_all_tokens_but_the_special_ones(unit, lowercase):
    tokenizer = train_tokenizer(TEXTS, unit=unit, lowercase=lowercase)
    special = dict(zip(SPECIAL_TOKENS, range(3), strict=True))
    assert read_tables(tokenizer, unit).ids | special == tokenizer.get_vocab()


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
    assert tables.dropped == character_classes.members(character_classes.dropped()) - {0xFEFF}


@pytest.mark.parametrize("unit", ["subword", "ngram"])
def test_subwords_and_ngrams_are_refused(unit):
    tokenizer = train_tokenizer(TEXTS * 3, unit=unit)
    with pytest.raises(TokenizerTablesError, match=rf"received {unit}: .*tokenizer\.json"):
        read_tables(tokenizer, unit)
    for another in ("word", "character"):
        with pytest.raises(TokenizerTablesError, match="received a different one"):
            read_tables(tokenizer, another)


@pytest.mark.parametrize("unit", ["word", "character"])
@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ({"accents": "strip"}, "tokens.accents=keep and .* form NFC"),
        ({"normalization": "nfkd", "lowercase": False}, "tokens.normalization=none, .* NFKD"),
    ],
)
def test_accents_and_unicode_forms_are_refused_by_name(unit, kind, named):
    tokenizer = train_tokenizer(TEXTS, unit=unit, **kind)
    with pytest.raises(TokenizerTablesError, match=named):
        read_tables(tokenizer, unit)


def test_brackets_that_are_part_of_words_are_refused():
    def join(document):
        isolated = document["pre_tokenizer"]["pretokenizers"][1]["pattern"]
        isolated["Regex"] = character_classes.class_of(
            character_classes.members(isolated["Regex"]) - {ord("[")}
        )

    with pytest.raises(
        TokenizerTablesError, match="expected square brackets to be tokens by themselves"
    ):
        read_tables(changed(train_tokenizer(TEXTS), join), "word")


def test_a_lower_case_that_moves_a_token_boundary_is_refused():
    def isolate(document):
        isolated = document["pre_tokenizer"]["pretokenizers"][1]["pattern"]
        isolated["Regex"] = character_classes.class_of(
            character_classes.members(isolated["Regex"]) | {ord("a")}
        )

    with pytest.raises(TokenizerTablesError, match=r"U\+0041 becomes 'a' in lower case"):
        read_tables(changed(train_tokenizer(TEXTS), isolate), "word")


def test_cased_characters_are_refused():
    tokenizer = train_tokenizer(TEXTS, unit="character", lowercase=False)
    with pytest.raises(
        TokenizerTablesError, match=r"tokens\.lowercase=true, received tokens\.lowercase=false"
    ):
        read_tables(tokenizer, "character")
