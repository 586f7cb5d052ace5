"""Where a text may be cut in two, so that its parts have the tokens of the whole.

A dictionary cleans and cuts a text by steps that look a little around each place: a mark joins the
letter before it, white space becomes one space, a word ends where a character stands alone.
Between two characters that no step brings together there is a seam: what follows it changes
nothing before it. Owns what a seam is for each kind of dictionary, and the tokens of what lies
between two of them. Knows neither special tokens in a text nor how a text comes.

A cluster is one character and those after it that may join it in a normal form. Which may is told
by this Python's tables of Unicode; those of `tokenizers` are older and have fewer, and what joins
in one version joins in every later one (https://www.unicode.org/policies/stability_policy.html).
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from gatewise.vocab.errors import TokenizerError
from gatewise.vocab.tokenizer.character_classes import python_class
from gatewise.vocab.tokenizer.subwords import MAX_WORD_CHARACTERS
from gatewise.vocab.tokenizer.tokenizer import SPECIAL_TOKENS
from tokenizers import Tokenizer, models, normalizers

_FORMS = {"NFC", "NFKC", "NFD", "NFKD"}
# Vowels and finals of Korean syllables, which join the consonant before them.
_SYLLABLE_PARTS = range(0x1160, 0x1200)
_ENDS = "^ | $"
_LONG_WORD = 4 * MAX_WORD_CHARACTERS


def stable_boundaries(tokenizer: Tokenizer) -> "StableBoundaries":
    """The seams of texts that a dictionary reads.

    Raises:
        TokenizerError: If which tokens a text has at its beginning may depend on its end.
    """
    steps = json.loads(tokenizer.normalizer.__getstate__())["normalizers"]
    patterns = [_pattern(step) for step in steps]
    if tokenizer.pre_tokenizer is not None:
        return _BetweenWords(tokenizer, patterns)
    if patterns[-1] == _ENDS:
        return _BetweenCharacters(tokenizer, patterns)
    raise TokenizerError(
        "tokens of several words cannot be told before a text has ended: to classify texts as "
        "they come, train with tokens.unit=word, subword or character"
    )


def may_join(character: str) -> bool:
    """Whether a character may become one with what stands before it, in some normal form."""
    first = unicodedata.normalize("NFKD", character)[0]
    return unicodedata.category(first)[0] == "M" or ord(first) in _SYLLABLE_PARTS


class StableBoundaries:
    """The seams of texts without special tokens; see `seams_of`.

    Args:
        tokenizer: The dictionary.
        patterns: What the steps of its normalizer replace, or the normal form that they are.
        cleaning: How many of them come before those that are about white space and words.
        white: The class of white space.
    """

    def __init__(
        self, tokenizer: Tokenizer, patterns: list[str], cleaning: int, white: str
    ) -> None:
        # Without special tokens: what only becomes one when it is cleaned is none.
        self._bare = Tokenizer(tokenizer.model)
        self._bare.normalizer = tokenizer.normalizer
        if tokenizer.pre_tokenizer is not None:
            self._bare.pre_tokenizer = tokenizer.pre_tokenizer
        self._cleaning = normalizers.Sequence([tokenizer.normalizer[n] for n in range(cleaning)])
        self._dropped = re.compile(python_class(patterns[0]))
        self._white = re.compile(python_class(white.removesuffix("+")) + "+")
        self._has_form = not _FORMS.isdisjoint(patterns)

    def cleaned(self, text: str) -> str:
        """A text with the same tokens: without what shows nothing, one space for white space."""
        return self._white.sub(" ", self._dropped.sub("", text))

    def shortened(self, word: str) -> str:
        """What may stand for a cleaned text without a seam, whatever follows it."""
        return word

    def last(self, text: str) -> int:
        """Where the last seam of a cleaned text is; 0 if it has none."""
        seam = end = len(text)
        for start in self._clusters_from_end(text):
            if seam < end and self._is_seam(text, start, seam, end):
                return seam
            seam, end = start, seam
        return 0

    def tokens(self, text: str, before: int | None) -> list[int]:
        """The ids of what lies between two seams, or between a seam and an end.

        Args:
            text: Cleaned.
            before: The id before it; None if there is none.
        """
        raise NotImplementedError

    def _is_seam(self, text: str, start: int, seam: int, end: int) -> bool:
        """Whether a seam lies between the cluster that begins at `start` and the one after it."""
        raise NotImplementedError

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._bare.encode(text, add_special_tokens=False).ids
        return ids

    def _clean(self, text: str) -> str:
        cleaned: str = self._cleaning.normalize_str(text)
        return cleaned

    def _clusters_from_end(self, text: str) -> Iterator[int]:
        for place in range(len(text) - 1, 0, -1):
            if not (self._has_form and may_join(text[place])):
                yield place
        yield 0


class _BetweenWords(StableBoundaries):
    """Of words that are cut apart before they are looked up.

    StableBoundaries are around white space and characters that stand alone, which are never inside
    a token.
    """

    def __init__(self, tokenizer: Tokenizer, patterns: list[str]) -> None:
        cuts = json.loads(tokenizer.pre_tokenizer.__getstate__())["pretokenizers"]
        white, alone = map(_pattern, cuts)
        super().__init__(tokenizer, patterns, len(patterns), white)
        self._breaks = re.compile(f"{self._white.pattern}|{python_class(alone)}")
        self._has_longest_word = isinstance(tokenizer.model, models.WordPiece)

    def _is_seam(self, text: str, start: int, seam: int, end: int) -> bool:
        before, after = self._clean(text[start:seam]), self._clean(text[seam:end])
        # Nothing may be left of a cluster that is a mark and no more.
        return bool(before and after) and bool(
            self._breaks.match(before[-1]) or self._breaks.match(after[0])
        )

    def shortened(self, word: str) -> str:
        # Longer than any word that is looked up, it is an unknown one and stays it.
        first = word[:_LONG_WORD]
        is_unknown = self._has_longest_word and len(self._clean(first)) > 2 * MAX_WORD_CHARACTERS
        return first if is_unknown else word

    def tokens(self, text: str, before: int | None) -> list[int]:  # noqa: ARG002
        return self._ids(text)


class _BetweenCharacters(StableBoundaries):
    """Of characters, white space being one where it is not at an end."""

    def __init__(self, tokenizer: Tokenizer, patterns: list[str]) -> None:
        super().__init__(tokenizer, patterns, len(patterns) - 2, patterns[-2])
        self._parted = [token for token in SPECIAL_TOKENS if token in patterns]

    def _is_seam(self, text: str, start: int, seam: int, end: int) -> bool:
        # White space is one character with that before it, for it counts only if another follows.
        before = self._clean(text[start:seam])
        if not before or self._white.match(before[-1]) or not self._clean(text[seam:end]):
            return False
        return not self._parted or not self._is_parted(text, seam)

    def _is_parted(self, text: str, seam: int) -> bool:
        """Whether a step that takes a special token apart may find one over a place."""
        before, after = self._clean(text[:seam]), self._clean(text[seam:])
        return any(
            before.endswith(token[:size])
            and (after.startswith(token[size:]) or token[size:].startswith(after))
            for token in self._parted
            for size in range(1, len(token))
        )

    def tokens(self, text: str, before: int | None) -> list[int]:
        # With a letter before it, for white space at the beginning counts where it is within.
        return self._ids(text) if before is None else self._ids(f"a{text}")[1:]


def _pattern(step: dict[str, Any]) -> str:
    """What a step replaces or cuts at; of another step its type."""
    pattern = step.get("pattern") or {"": step["type"]}
    (found,) = pattern.values()
    return str(found)
