import json

import pytest
from gatewise.training.mobile import tokenizer_tables
from gatewise.training.mobile.tokenizer_tables import TokenizerTablesError
from gatewise.vocab.tokenizer import character_classes
from gatewise.vocab.tokenizer.tokenizer import SPECIAL_TOKENS, train_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

TEXTS = ["The cat sat.", "猫が好き", "Ὀδυσσεύς ΟΔΟΣ", "İstanbul", "don't", "C# [CLS]"]
CHARACTERS = st.characters(exclude_categories=["Cs"])


def changed(tokenizer, change):
    """The same dictionary with something in its `tokenizer.json` changed."""
    document = json.loads(tokenizer.to_str())
    change(document)
    return Tokenizer.from_str(json.dumps(document))


@pytest.mark.parametrize("unit", ["word", "character"])
def test_the_classes_are_those_of_the_dictionary(unit):
    read = tokenizer_tables.read(train_tokenizer(TEXTS, unit=unit), unit)
    assert read.dropped == character_classes.members(character_classes.dropped())
    assert read.spaces == character_classes.members(character_classes.white_space())
    alone = (
        character_classes.members(character_classes.isolated()) - read.dropped
        if unit == "word"
        else ()
    )
    assert read.alone == frozenset(alone)


@pytest.fixture(scope="module")
def words():
    tokenizer = train_tokenizer(TEXTS)
    return tokenizer, tokenizer_tables.read(tokenizer, "word")


@settings(max_examples=1000)
@given(character=CHARACTERS)
def test_lower_case_is_what_the_dictionary_makes_of_a_character(words, character):
    tokenizer, read = words
    becomes = read.lowered.get(character, character)
    assert tokenizer.normalizer.normalize_str(character) == (
        "" if ord(character) in read.dropped else becomes
    )


def test_without_lower_case_nothing_changes():
    tokenizer = train_tokenizer(TEXTS, lowercase=False)
    assert tokenizer_tables.read(tokenizer, "word").lowered == {}


@pytest.mark.parametrize(
    ("unit", "lowercase"), [("word", True), ("word", False), ("character", True)]
)
def test_every_token_but_the_special_ones_can_come_of_a_text(unit, lowercase):
    tokenizer = train_tokenizer(TEXTS, unit=unit, lowercase=lowercase)
    special = dict(zip(SPECIAL_TOKENS, range(3), strict=True))
    assert tokenizer_tables.read(tokenizer, unit).ids | special == tokenizer.get_vocab()


def test_a_token_that_no_text_gives_is_left_out():
    tokenizer = train_tokenizer(["a"])
    strange = ["Upper", "two words", "a.b", "zero\u200dwidth", "", "l" * 101]

    def add(document):
        document["model"]["vocab"] |= {token: 10 + at for at, token in enumerate(strange)}

    tokenizer = changed(tokenizer, add)
    assert tokenizer_tables.read(tokenizer, "word").ids == {"a": 3}
    for token in strange:
        assert not set(tokenizer.encode(token).ids) & set(range(10, 20))


def test_the_classes_may_be_those_of_another_version_of_unicode():
    def drop_less(document):
        first = document["normalizer"]["normalizers"][0]["pattern"]
        first["Regex"] = first["Regex"].replace(r"\x{feff}", "")

    read = tokenizer_tables.read(changed(train_tokenizer(TEXTS), drop_less), "word")
    assert read.dropped == character_classes.members(character_classes.dropped()) - {0xFEFF}


@pytest.mark.parametrize("unit", ["subword", "ngram"])
def test_pieces_and_phrases_are_refused(unit):
    tokenizer = train_tokenizer(TEXTS * 3, unit=unit)
    with pytest.raises(TokenizerTablesError, match=rf"received {unit}: .*use tokenizer\.json"):
        tokenizer_tables.read(tokenizer, unit)
    for another in ("word", "character"):
        with pytest.raises(TokenizerTablesError, match="received another"):
            tokenizer_tables.read(tokenizer, another)


@pytest.mark.parametrize("unit", ["word", "character"])
@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ({"accents": "strip"}, "tokens.accents=strip"),
        ({"accents": "strip", "normalization": "nfkc"}, "tokens.accents=strip"),
        ({"normalization": "nfc"}, "tokens.normalization=nfc"),
        ({"normalization": "nfkd", "lowercase": False}, "tokens.normalization=nfkd"),
    ],
)
def test_accents_and_unicode_forms_are_refused_by_name(unit, kind, named):
    tokenizer = train_tokenizer(TEXTS, unit=unit, **kind)
    with pytest.raises(TokenizerTablesError, match=named):
        tokenizer_tables.read(tokenizer, unit)


def another_step(document):
    document["normalizer"]["normalizers"].append({"type": "NFC"})


def another_cut(document):
    document["pre_tokenizer"] = {"type": "WhitespaceSplit"}


def another_token(document):
    document["added_tokens"].append(dict(document["added_tokens"][0], id=9, content="<name>"))


def another_limit(document):
    document["model"]["max_input_chars_per_word"] = 50


def spaces_around_special_tokens(document):
    document["added_tokens"][1]["lstrip"] = True


def pieces(document):
    document["model"]["vocab"]["##ing"] = 90


@pytest.mark.parametrize(
    "change",
    [
        another_step,
        another_cut,
        another_token,
        another_limit,
        spaces_around_special_tokens,
        pieces,
    ],
)
def test_whatever_else_a_dictionary_does_is_refused(change):
    tokenizer = changed(train_tokenizer(TEXTS), change)
    with pytest.raises(TokenizerTablesError, match="received another"):
        tokenizer_tables.read(tokenizer, "word")


def test_brackets_that_are_part_of_words_are_refused():
    def join(document):
        alone = document["pre_tokenizer"]["pretokenizers"][1]["pattern"]
        alone["Regex"] = character_classes.class_of(
            character_classes.members(alone["Regex"]) - {ord("[")}
        )

    with pytest.raises(TokenizerTablesError, match="expected square brackets to stand alone"):
        tokenizer_tables.read(changed(train_tokenizer(TEXTS), join), "word")


def test_a_character_that_would_move_a_cut_is_refused():
    def part(document):
        alone = document["pre_tokenizer"]["pretokenizers"][1]["pattern"]
        alone["Regex"] = character_classes.class_of(
            character_classes.members(alone["Regex"]) | {ord("a")}
        )

    with pytest.raises(TokenizerTablesError, match=r"U\+0041 becomes 'a' in lower case"):
        tokenizer_tables.read(changed(train_tokenizer(TEXTS), part), "word")


def test_characters_whose_case_counts_are_refused():
    tokenizer = train_tokenizer(TEXTS, unit="character", lowercase=False)
    with pytest.raises(
        TokenizerTablesError, match=r"tokens\.lowercase=true, received one that keeps"
    ):
        tokenizer_tables.read(tokenizer, "character")
