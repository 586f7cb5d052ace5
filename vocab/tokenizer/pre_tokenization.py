"""Normalization of a text and its splitting into words, with steps that every runtime has.

For subword and n-gram tokens, the normalized text is not split. Spaces mark the begin and end of
each word instead, and the text's own white space is removed, so a space is always a word mark.
"""

import re
from typing import Literal

from tokenizers import Regex, normalizers, pre_tokenizers

from gatewise.vocab.tokenizer import character_classes

Form = Literal["none", "nfc", "nfkc", "nfd", "nfkd"]

_FORMS = {
    "nfc": normalizers.NFC,
    "nfkc": normalizers.NFKC,
    "nfd": normalizers.NFD,
    "nfkd": normalizers.NFKD,
}
_MARKED_WORD = re.compile(" [^ ]+ |[^ ]")


def cleaning(*, lowercase: bool, strip_accents: bool, form: Form) -> list[normalizers.Normalizer]:
    """The normalizer steps before splitting."""
    steps: list[normalizers.Normalizer] = [
        normalizers.Replace(Regex(character_classes.dropped()), "")
    ]
    if strip_accents:
        # Decomposed, then composed again: a Korean syllable stays one character.
        steps.append(normalizers.NFKD() if form in ("nfkc", "nfkd") else normalizers.NFD())
        steps.append(normalizers.Replace(Regex(character_classes.accents()), ""))
        if form not in ("nfd", "nfkd"):
            steps.append(normalizers.NFC())
    elif form != "none":
        steps.append(_FORMS[form]())
    if lowercase:
        # JavaScript and Rust lower-case a final sigma differently.
        steps += [normalizers.Replace("Σ", "σ"), normalizers.Lowercase()]
    return steps


def escape_special_token(special_token: str) -> str:
    """A special token with a space, so that no runtime recognizes it in a text.

    >>> escape_special_token("[PAD]")
    '[ PAD]'
    """
    return f"[ {special_token.removeprefix('[')}"


def single_spaces() -> list[normalizers.Normalizer]:
    """The steps that collapse white space to one space, and strip it at the ends."""
    return [
        normalizers.Replace(Regex(character_classes.white_space() + "+"), " "),
        normalizers.Replace(Regex("^ | $"), ""),
    ]


def word_marks() -> list[normalizers.Normalizer]:
    r"""The steps that put a space before and after every word, and remove other white space.

    Isolated characters have no mark.

    >>> normalizers.Sequence(word_marks()).normalize_str("so it's\tthat")
    " so  it ' s  that "
    """
    word = character_classes.word_characters()
    boundary = f"(?<!{word})(?={word})|(?<={word})(?!{word})"
    return [
        normalizers.Replace(Regex(character_classes.white_space() + "+"), "\n"),
        normalizers.Replace(Regex(boundary), " "),
        normalizers.Replace("\n", ""),
    ]


def between_words() -> pre_tokenizers.PreTokenizer:
    """A pre-tokenizer that splits at white space and around every isolated character."""
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(character_classes.white_space() + "+"), "removed"),
            pre_tokenizers.Split(Regex(character_classes.isolated()), "isolated"),
        ]
    )


class WordSplitter:
    """Splits texts in Python into the same words as `between_words`, for counting.

    Its steps are those of `cleaning`.
    """

    def __init__(self, steps: list[normalizers.Normalizer]) -> None:
        self._normalizer = normalizers.Sequence([*steps, *word_marks()])

    def words(self, text: str) -> list[str]:
        """The words of a text, each between two spaces, and isolated characters without."""
        found: list[str] = _MARKED_WORD.findall(self._normalizer.normalize_str(text))
        return found
