"""Cuts long texts before they are tokenized, so that a text costs no more than what is read of it.

A text is cut where the part before already has more tokens than a model reads, whatever follows
and whatever the vocabulary is. Only certain characters are counted: none of them combines with the
one before it, and in every normal form it is the same, or begins with the same letter, as an
accented letter or a Korean syllable does. A run of such letters and digits is a word or more, and a
character that is isolated is a token by itself. A token depends on the characters close to it, so a
few more tokens are kept than are read. Two exceptions: the first subwords of a word may depend on
its end, and the first word n-grams of a text on its end.
"""

import unicodedata
from collections.abc import Container
from typing import Literal

from tokenizers import Tokenizer, models

from gatewise.vocab.tokenizer.character_classes import UNSPACED_BLOCKS, is_white_space
from gatewise.vocab.tokenizer.stable_boundaries import may_combine
from gatewise.vocab.tokenizer.tokenizer import MAX_WORD_CHARACTERS, SPECIAL_TOKENS, Unit

Keep = Literal["head", "tail", "both"]
"""Which tokens of a text that is too long are kept: the first, the last, or half each."""

MIN_CHARACTERS = 4096
"""Characters that are kept of a text in any case; a text that is not longer is never cut."""

_MARGIN = 16
"""Tokens kept besides those that are read: the last ones before a cut may be others."""

_WHITE, _ALONE, _IN_WORD, _OTHER = range(4)


class TextLimit:
    """Cuts the texts that are longer than a model reads; their tokens that are read stay the same.

    Args:
        max_length: Tokens read of a text, in all windows, `[CLS]` included.
        keep: Which tokens of a longer text are read.
        unit: What a token is; with `auto`, a word or a character.
    """

    def __init__(self, max_length: int, keep: Keep, unit: Unit | Literal["auto"]) -> None:
        self._tokens, self._keep, self._unit = max_length + _MARGIN, keep, unit
        # A longer word is unknown however it ends, and has characters enough if tokens are those.
        self._longest_word = max(2 * MAX_WORD_CHARACTERS, self._tokens) + _MARGIN

    def cut(self, text: str) -> str:
        """A part of a text whose tokens that are read are those of the text; truncated like it."""
        if len(text) <= MIN_CHARACTERS or self._unit == "ngram":
            return text
        if self._keep == "tail":
            return self._tail(text)[0]
        head, after = self._head(text)
        if self._keep == "head":
            return head
        tail, before = self._tail(text)
        # What joins the two is not read: each has more tokens than that.
        return f"{head} {tail}" if after + before < len(text) else text

    def _tail(self, text: str) -> tuple[str, int]:
        backwards, characters = self._head(text[::-1], _SPECIAL_BACKWARDS)
        return backwards[::-1], characters

    def _head(
        self, text: str, special_tokens: Container[str] = frozenset(SPECIAL_TOKENS)
    ) -> tuple[str, int]:
        """The beginning of a text that is enough, and how many characters of it that took."""
        kinds, by_character = _KINDS, self._unit == "character"
        longest_word = 0 if self._unit == "subword" else self._longest_word
        pieces: list[str] = []
        tokens = letters = start = 0
        is_in_word = False
        for place, character in enumerate(text):
            kind = kinds[character]
            if kind == _IN_WORD:
                tokens += by_character or not is_in_word
                is_in_word = True
                letters += 1
                if letters == longest_word:
                    pieces.append(text[start:place])
            else:
                if longest_word and letters >= longest_word:
                    start = place
                letters = 0
                # Another character may end a word or not.
                is_in_word = is_in_word and kind == _OTHER
            if kind == _ALONE:
                tokens += 1
                if text[max(place - 4, 0) : place + 1] in special_tokens:
                    # One token, not a word between brackets.
                    tokens -= 4 if by_character else 2
            if tokens > self._tokens and place >= MIN_CHARACTERS:
                break
        else:
            place = len(text) - 1
        if not longest_word or letters < longest_word:
            pieces.append(text[start : place + 1])
        return "".join(pieces), place + 1


def unit_of(tokenizer: Tokenizer) -> Unit:
    """What a token of a tokenizer is."""
    if isinstance(tokenizer.model, models.Unigram):
        return "ngram"
    if isinstance(tokenizer.model, models.BPE):
        return "character" if tokenizer.pre_tokenizer is None else "subword"
    return "word"


class _Kinds(dict[str, int]):
    """The kind of each character, found once."""

    def __missing__(self, character: str) -> int:
        self[character] = kind = _kind_of(character)
        return kind


def _kind_of(character: str) -> int:
    if is_white_space(character):
        return _WHITE
    if _is_composed_letter(character):
        return _IN_WORD
    category = unicodedata.category(character)
    is_stable = unicodedata.normalize("NFKD", character) == character
    if not is_stable or may_combine(character) or category[0] in "CMZ" or character == "\ufffd":
        return _OTHER
    code = ord(character)
    if any(first <= code <= last for first, last in UNSPACED_BLOCKS):
        return _ALONE
    if category[0] in "PS":
        # Isolated for every tokenizer only if that was its category in every version of Unicode.
        was = unicodedata.ucd_3_2_0.category(character)
        return _ALONE if was[0] in "PS" else _OTHER
    return _IN_WORD


def _is_composed_letter(character: str) -> bool:
    """Whether it stands for a letter with marks, or a Korean syllable, in every normal form."""
    letters = unicodedata.normalize("NFD", character)
    return (
        len(letters) > 1
        and unicodedata.normalize("NFKD", character) == letters
        and _KINDS[letters[0]] == _IN_WORD
        and all(map(may_combine, letters[1:]))
    )


_KINDS = _Kinds()
_SPECIAL_BACKWARDS = frozenset(token[::-1] for token in SPECIAL_TOKENS)
