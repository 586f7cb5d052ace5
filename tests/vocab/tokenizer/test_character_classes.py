import unicodedata

import pytest
from gatewise.vocab.tokenizer import character_classes
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, normalizers


def matched(cls, text):
    return normalizers.Replace(Regex(cls), "").normalize_str(text) == ""


@pytest.mark.parametrize("character", [" ", "\t", "\n", "\r", "\u00a0", "\u3000", "\u2028", "\x85"])
def test_white_space(character):
    assert character.isspace()
    assert matched(character_classes.white_space(), character)
    assert not matched(character_classes.dropped(), character)


@pytest.mark.parametrize("character", ["\x00", "\u200b", "\u200d", "\ufeff", "\ufe0f", "\ufffd"])
def test_dropped(character):
    assert matched(character_classes.dropped(), character)
    assert not matched(character_classes.white_space(), character)


@pytest.mark.parametrize("character", [*"!#$+<^`~¿€™→😀🇩猫がกༀ𠮷々"])
def test_standing_alone(character):
    assert matched(character_classes.standing_alone(), character)


@pytest.mark.parametrize("character", [*"aZ0éßЖאع한각"])
def test_letters_and_digits_of_spaced_scripts_belong_to_words(character):
    for cls in (
        character_classes.white_space(),
        character_classes.dropped(),
        character_classes.standing_alone(),
    ):
        assert not matched(cls, character)


def test_all_punctuation_stands_alone():
    for code in range(0x3000):
        if unicodedata.category(chr(code)).startswith("P"):
            assert matched(character_classes.standing_alone(), chr(code))


@given(st.characters(codec="utf-8"))
def test_every_character_is_of_words_or_parts_them(character):
    parting = (character_classes.white_space(), character_classes.standing_alone())
    assert matched(character_classes.of_words(), character) != any(
        matched(cls, character) for cls in parting
    )


@pytest.mark.parametrize(("letter", "plain"), [("é", "e"), ("Ё", "Е"), ("ή", "η"), ("ṩ", "s")])
def test_accents_are_what_a_letter_is_left_without(letter, plain):
    assert unicodedata.normalize("NFD", letter)[0] == plain
    assert matched(character_classes.accents(), unicodedata.normalize("NFD", letter)[1:])


@pytest.mark.parametrize("mark", ["\u3099", "\u0e48", "\u093f", "\u05b0", "\u064b"])
def test_marks_of_other_scripts_are_no_accents(mark):
    assert unicodedata.category(mark).startswith("M")
    assert not matched(character_classes.accents(), mark)
