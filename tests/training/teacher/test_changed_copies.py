import numpy as np
import pytest

from gatewise.training.teacher import changed_copies
from gatewise.training.teacher.changed_copies import TextChanger, units

TEXT = "I need to pay the Invoice of my hotel, please"


def copies(changer, text, count=200, **options):
    generator = np.random.default_rng(1)
    return [changer.copy(text, generator, **options) for _ in range(count)]


@pytest.mark.parametrize("text", [TEXT, " a  b ", "今日は hello、世界", "สวัสดีครับ", "", "don't"])
def test_the_units_of_a_text_are_the_text(text):
    assert "".join(units(text)) == text


def test_the_same_generator_makes_the_same_copies():
    changer = TextChanger([TEXT], {"hotel": ("inn",)})
    assert copies(changer, TEXT) == copies(changer, TEXT)
    assert len(set(copies(changer, TEXT))) > 100


@pytest.fixture
def no_random_words(monkeypatch):
    monkeypatch.setattr(changed_copies, "_RANDOM_SHARE", 0)


def test_any_word_may_be_replaced_by_one_of_the_texts_or_near_one():
    found = copies(TextChanger(["zebra"], {"hotel": ("inn",)}), "please wait")
    assert any("zebra" in text for text in found)
    assert any("inn" in text for text in found)


@pytest.mark.usefixtures("no_random_words")
def test_words_are_replaced_by_their_neighbours_in_their_case():
    found = copies(TextChanger([], {"invoice": ("bill",), "hotel": ("inn",)}), TEXT)
    assert any(" Bill " in text for text in found)
    assert any(" inn," in text for text in found)
    assert not any(" bill" in text or "Inn" in text.split() for text in found)


@pytest.mark.usefixtures("no_random_words")
def test_copies_are_parts_and_joined_to_ends_of_other_texts():
    other = "one two three four"
    found = copies(TextChanger([other], {}), TEXT)
    assert any(text.endswith("please three four") for text in found)
    assert any(len(text) < 0.7 * len(TEXT) for text in found)
    # Where there is no end of another text, none is added.
    assert not any(
        "three four" in text for text in copies(TextChanger([other], {}), TEXT, joins=False)
    )


def test_a_text_in_a_script_without_spaces_is_changed_and_gets_none():
    found = copies(TextChanger(["今日は雨です"], {"雨": ("雪",)}), "明日は雨でしょう")
    assert len(set(found)) > 50
    assert any("雪" in text for text in found)
    assert not any(" " in text for text in found)


def test_a_copy_of_one_word_is_one_word_at_least():
    assert all(copies(TextChanger([], {}), "word"))
