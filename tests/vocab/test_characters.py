import unicodedata

import pytest
from tokenizers import Regex, normalizers

from vocab import characters


def matched(cls, text):
    return normalizers.Replace(Regex(cls), "").normalize_str(text) == ""


@pytest.mark.parametrize("character", [" ", "\t", "\n", "\r", "\u00a0", "\u3000", "\u2028", "\x85"])
def test_white_space(character):
    assert character.isspace()
    assert matched(characters.white_space(), character)
    assert not matched(characters.dropped(), character)


@pytest.mark.parametrize("character", ["\x00", "\u200b", "\u200d", "\ufeff", "\ufe0f", "\ufffd"])
def test_dropped(character):
    assert matched(characters.dropped(), character)
    assert not matched(characters.white_space(), character)


@pytest.mark.parametrize("character", [*"!#$+<^`~¿€™→😀🇩猫がกༀ𠮷々"])
def test_standing_alone(character):
    assert matched(characters.standing_alone(), character)


@pytest.mark.parametrize("character", [*"aZ0éßЖאع한각"])
def test_letters_and_digits_of_spaced_scripts_belong_to_words(character):
    for cls in (characters.white_space(), characters.dropped(), characters.standing_alone()):
        assert not matched(cls, character)


def test_all_punctuation_stands_alone():
    for code in range(0x3000):
        if unicodedata.category(chr(code)).startswith("P"):
            assert matched(characters.standing_alone(), chr(code))
