"""How a text is brought into one form and cut into words, in parts that every runtime has.

Owns the steps of a dictionary's normalizer and its pre-tokenizer. Which characters are what is in
`gatewise.vocab.tokenizer.character_classes`; what tokens words become is no business of this
module.

A dictionary whose tokens are longer or shorter than words of their own choosing reads a text as
one stretch. Where its words begin and end is then marked by spaces, the text's own white space
being taken out: a stretch has a space only where the mark of a word is.
"""

import re
from typing import Literal

from gatewise.vocab.tokenizer import character_classes
from tokenizers import Regex, normalizers, pre_tokenizers

Form = Literal["none", "nfc", "nfkc", "nfd", "nfkd"]

_FORMS = {
    "nfc": normalizers.NFC,
    "nfkc": normalizers.NFKC,
    "nfd": normalizers.NFD,
    "nfkd": normalizers.NFKD,
}
_MARKED_WORD = re.compile(" [^ ]+ |[^ ]")


def cleaning(*, lowercase: bool, strip_accents: bool, form: Form) -> list[normalizers.Normalizer]:
    """The steps that make texts one that differ in what does not count.

    Args:
        lowercase: Whether upper and lower case are one.
        strip_accents: Whether letters with and without accents are one.
        form: The Unicode normalization form.
    """
    steps: list[normalizers.Normalizer] = [
        normalizers.Replace(Regex(character_classes.dropped()), "")
    ]
    if strip_accents:
        # Taken apart and put together again: a Korean syllable is one character, not three.
        steps.append(normalizers.NFKD() if form in ("nfkc", "nfkd") else normalizers.NFD())
        steps.append(normalizers.Replace(Regex(character_classes.accents()), ""))
        if form not in ("nfd", "nfkd"):
            steps.append(normalizers.NFC())
    elif form != "none":
        steps.append(_FORMS[form]())
    if lowercase:
        # JavaScript lower-cases a final sigma to another letter than Rust does.
        steps += [normalizers.Replace("Σ", "σ"), normalizers.Lowercase()]
    return steps


def escape_special_token(special_token: str) -> str:
    """A special token as it is left standing in a text that is not to be taken for it.

    >>> parted("[PAD]")
    '[ PAD]'
    """
    return f"[ {special_token.removeprefix('[')}"


def single_spaces() -> list[normalizers.Normalizer]:
    """The steps that leave one space where there was white space, and none at the ends."""
    return [
        normalizers.Replace(Regex(character_classes.white_space() + "+"), " "),
        normalizers.Replace(Regex("^ | $"), ""),
    ]


def word_marks() -> list[normalizers.Normalizer]:
    r"""The steps that put a space before every word and one after it.

    Characters that stand alone have no mark.

    >>> normalizers.Sequence(word_marks()).normalize_str("so it's\tthat")
    " so  it ' s  that "
    """
    word = character_classes.of_words()
    boundary = f"(?<!{word})(?={word})|(?<={word})(?!{word})"
    return [
        normalizers.Replace(Regex(character_classes.white_space() + "+"), "\n"),
        normalizers.Replace(Regex(boundary), " "),
        normalizers.Replace("\n", ""),
    ]


def between_words() -> pre_tokenizers.PreTokenizer:
    """Cuts a text at white space, and around every character that stands alone."""
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(character_classes.white_space() + "+"), "removed"),
            pre_tokenizers.Split(Regex(character_classes.standing_alone()), "isolated"),
        ]
    )


class WordReader:
    """Gives the words of texts in Python, to be counted; the same that `between_words` cuts.

    Args:
        steps: From `cleaning`.
    """

    def __init__(self, steps: list[normalizers.Normalizer]) -> None:
        self._normalizer = normalizers.Sequence([*steps, *word_marks()])

    def words(self, text: str) -> list[str]:
        """The words of a text, each with a space on both sides, and what stands alone, bare."""
        found: list[str] = _MARKED_WORD.findall(self._normalizer.normalize_str(text))
        return found
