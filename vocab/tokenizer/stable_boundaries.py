"""Stable boundaries: places in a text before which the tokens are the same whatever follows.

The normalizer and the pre-tokenizer look at few characters around each place: a combining mark
joins the letter before it, white space collapses, a word ends before an isolated character. A
boundary lies between two characters that no step combines.

A cluster is a character with those after it that may combine with it in a normal form. This
Python's Unicode tables decide which may; those of `tokenizers` are older and have fewer, and what
combines in one Unicode version combines in every later one
(https://www.unicode.org/policies/stability_policy.html).
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from tokenizers import Tokenizer, models, normalizers

from gatewise.vocab.errors import TokenizerError
from gatewise.vocab.tokenizer.character_classes import python_class
from gatewise.vocab.tokenizer.tokenizer import MAX_WORD_CHARACTERS, SPECIAL_TOKENS

_FORMS = {"NFC", "NFKC", "NFD", "NFKD"}
# Vowels and finals of Korean syllables, which combine with the consonant before them.
_SYLLABLE_PARTS = range(0x1160, 0x1200)
_ENDS = "^ | $"
_LONG_WORD = 4 * MAX_WORD_CHARACTERS


def stable_boundaries(tokenizer: Tokenizer) -> "StableBoundaries":
    """The boundaries of texts for a tokenizer.

    Raises:
        TokenizerError: The first tokens of a text may depend on its end, as word n-grams do.
    """
    steps = json.loads(tokenizer.normalizer.__getstate__())["normalizers"]
    patterns = [_pattern(step) for step in steps]
    if tokenizer.pre_tokenizer is not None:
        return _BetweenWords(tokenizer, patterns)
    if patterns[-1] == _ENDS:
        return _BetweenCharacters(tokenizer, patterns)
    raise TokenizerError(
        "word n-grams depend on the words that follow: to classify texts while they arrive, train "
        "with tokens.unit=word, subword or character"
    )


def may_combine(character: str) -> bool:
    """Whether a character may combine with the one before it in some normal form."""
    first = unicodedata.normalize("NFKD", character)[0]
    return unicodedata.category(first)[0] == "M" or ord(first) in _SYLLABLE_PARTS


class StableBoundaries:
    """The boundaries of texts without special tokens; see `stable_boundaries`.

    Args:
        tokenizer: The tokenizer.
        patterns: The pattern of each normalizer step, or the name of its normal form.
        cleaning: Number of steps before those about white space and words.
        white: The class of white space.
    """

    def __init__(
        self, tokenizer: Tokenizer, patterns: list[str], cleaning: int, white: str
    ) -> None:
        # A tokenizer without special tokens: those that only appear after cleaning are not any.
        self._bare = Tokenizer(tokenizer.model)
        self._bare.normalizer = tokenizer.normalizer
        if tokenizer.pre_tokenizer is not None:
            self._bare.pre_tokenizer = tokenizer.pre_tokenizer
        self._cleaning = normalizers.Sequence([tokenizer.normalizer[n] for n in range(cleaning)])
        self._dropped = re.compile(python_class(patterns[0]))
        self._white = re.compile(python_class(white.removesuffix("+")) + "+")
        self._has_form = not _FORMS.isdisjoint(patterns)

    def cleaned(self, text: str) -> str:
        """The text without dropped characters and with single spaces; its tokens are the same."""
        return self._white.sub(" ", self._dropped.sub("", text))

    def shortened(self, word: str) -> str:
        """A text with the same tokens as a cleaned one without a boundary, whatever follows."""
        return word

    def last(self, text: str) -> int:
        """The index of the last boundary of a cleaned text, or 0."""
        boundary = end = len(text)
        for start in self._clusters_from_end(text):
            if boundary < end and self._is_boundary(text, start, boundary, end):
                return boundary
            boundary, end = start, boundary
        return 0

    def tokens(self, text: str, before: int | None) -> list[int]:
        """The ids of a cleaned text between two boundaries or ends, and the id before it."""
        raise NotImplementedError

    def _is_boundary(self, text: str, start: int, place: int, end: int) -> bool:
        """Whether there is a boundary between the clusters [start, place) and [place, end)."""
        raise NotImplementedError

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._bare.encode(text, add_special_tokens=False).ids
        return ids

    def _clean(self, text: str) -> str:
        cleaned: str = self._cleaning.normalize_str(text)
        return cleaned

    def _clusters_from_end(self, text: str) -> Iterator[int]:
        for place in range(len(text) - 1, 0, -1):
            if not (self._has_form and may_combine(text[place])):
                yield place
        yield 0


class _BetweenWords(StableBoundaries):
    """Boundaries around white space and isolated characters, for words that are split first."""

    def __init__(self, tokenizer: Tokenizer, patterns: list[str]) -> None:
        splits = json.loads(tokenizer.pre_tokenizer.__getstate__())["pretokenizers"]
        white, isolated = map(_pattern, splits)
        super().__init__(tokenizer, patterns, len(patterns), white)
        self._breaks = re.compile(f"{self._white.pattern}|{python_class(isolated)}")
        self._has_longest_word = isinstance(tokenizer.model, models.WordPiece)

    def _is_boundary(self, text: str, start: int, place: int, end: int) -> bool:
        before, after = self._clean(text[start:place]), self._clean(text[place:end])
        # A cluster of marks alone may be empty after cleaning.
        return bool(before and after) and bool(
            self._breaks.match(before[-1]) or self._breaks.match(after[0])
        )

    def shortened(self, word: str) -> str:
        # Longer than any word in the vocabulary: it is unknown and stays so.
        first = word[:_LONG_WORD]
        is_unknown = self._has_longest_word and len(self._clean(first)) > 2 * MAX_WORD_CHARACTERS
        return first if is_unknown else word

    def tokens(self, text: str, before: int | None) -> list[int]:  # noqa: ARG002
        return self._ids(text)


class _BetweenCharacters(StableBoundaries):
    """Boundaries between characters; white space counts as one unless it is at an end."""

    def __init__(self, tokenizer: Tokenizer, patterns: list[str]) -> None:
        super().__init__(tokenizer, patterns, len(patterns) - 2, patterns[-2])
        self._escaped = [token for token in SPECIAL_TOKENS if token in patterns]

    def _is_boundary(self, text: str, start: int, place: int, end: int) -> bool:
        # White space belongs to the character before it: it only counts if another one follows.
        before = self._clean(text[start:place])
        if not before or self._white.match(before[-1]) or not self._clean(text[place:end]):
            return False
        return not self._escaped or not self._may_be_escaped(text, place)

    def _may_be_escaped(self, text: str, place: int) -> bool:
        """Whether a step that escapes a special token may match across a place."""
        before, after = self._clean(text[:place]), self._clean(text[place:])
        return any(
            before.endswith(token[:size])
            and (after.startswith(token[size:]) or token[size:].startswith(after))
            for token in self._escaped
            for size in range(1, len(token))
        )

    def tokens(self, text: str, before: int | None) -> list[int]:
        # After a letter, because white space at the begin counts if it is inside the text.
        return self._ids(text) if before is None else self._ids(f"a{text}")[1:]


def _pattern(step: dict[str, Any]) -> str:
    """The pattern of a step; its type if it has none."""
    pattern = step.get("pattern") or {"": step["type"]}
    (found,) = pattern.values()
    return str(found)
