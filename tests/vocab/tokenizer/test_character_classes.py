import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, normalizers

from gatewise.vocab.tokenizer import character_classes


def matched(cls, text):
    return normalizers.Replace(Regex(cls), "").normalize_str(text) == ""


CLASSES = {
    character_classes.white_space: " \t\n\r\u00a0\u3000\u2028\x85",
    character_classes.dropped: "\x00\u200b\u200d\ufeff\ufe0f\ufffd",
    character_classes.isolated: "!#$+<^`~¿€™→😀🇩猫がกༀ𠮷々",
    character_classes.word_characters: "aZ0éßЖאع한각",
}


@pytest.mark.parametrize(("cls", "characters"), CLASSES.items())
def test_characters_belong_to_one_class(cls, characters):
    for character in characters:
        found = [each for each in CLASSES if matched(each(), character)]
        # Dropped characters are removed first, so other classes may contain them.
        assert found[0] is cls if cls is character_classes.dropped else found == [cls], character


def test_all_punctuation_is_isolated():
    for code in range(0x3000):
        if unicodedata.category(chr(code)).startswith("P"):
            assert matched(character_classes.isolated(), chr(code))


@given(st.characters(codec="utf-8"))
def test_a_character_either_belongs_to_words_or_separates_them(character):
    separating = (character_classes.white_space(), character_classes.isolated())
    assert matched(character_classes.word_characters(), character) != any(
        matched(cls, character) for cls in separating
    )


def test_accents_are_combining_marks_but_not_those_of_other_scripts():
    for letter, plain in {"é": "e", "Ё": "Е", "ή": "η", "ṩ": "s"}.items():
        decomposed = unicodedata.normalize("NFD", letter)
        assert decomposed[0] == plain
        assert matched(character_classes.accents(), decomposed[1:])
    for mark in "\u3099\u0e48\u093f\u05b0\u064b":
        assert unicodedata.category(mark).startswith("M")
        assert not matched(character_classes.accents(), mark)
