from hypothesis import given
from hypothesis import strategies as st
from tokenizers import normalizers

from gatewise.vocab.tokenizer import pre_tokenization

STEPS = pre_tokenization.cleaning(lowercase=True, strip_accents=False, form="none")


@given(st.text())
def test_words_are_the_same_in_python_and_in_the_library(text):
    words = pre_tokenization.WordSplitter(STEPS).words(text)
    cleaned = normalizers.Sequence(STEPS).normalize_str(text)
    split = [word for word, _ in pre_tokenization.between_words().pre_tokenize_str(cleaned)]
    assert [word.strip(" ") for word in words] == split
    marked = normalizers.Sequence([*STEPS, *pre_tokenization.word_marks()]).normalize_str(text)
    assert "".join(words) == marked


def test_words_have_marks_and_isolated_characters_have_none():
    words = pre_tokenization.WordSplitter(STEPS).words("  Don't  stop!! 猫\n")
    assert words == [" don ", "'", " t ", " stop ", "!", "!", "猫"]
