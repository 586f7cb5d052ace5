"""The ids of texts, whose words are split off by plain string methods and looked up.

No normal form changes ASCII, so the words of such a text are runs of letters and digits, and each
mark by itself; of any other text what is between two spaces is a word, unless it is ASCII. The
tokenizer sees each word once.
"""

import json
import re
import string
from array import array
from collections.abc import Sequence
from itertools import chain, groupby
from typing import Self

from tokenizers import Tokenizer

from gatewise.vocab.tokenizer.tokenizer import CLS_ID, SPECIAL_TOKENS

_MARKS = string.punctuation

# What the normalizer drops.
_DROPPED = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")

_MAX_CHARACTERS = 32
"""Longest word that is kept: longer ones rarely come again."""

_MAX_WORDS = 2**17
"""Words that are kept; when there are more, all are forgotten."""


class KnownWords:
    """The ids of words that a tokenizer has seen; safe to use from several threads.

    Args:
        tokenizer: A tokenizer that splits texts into words first.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        steps = json.loads(tokenizer.normalizer.__getstate__())["normalizers"]
        self._tokenizer = tokenizer
        self._has_lower_case = any(step["type"] == "Lowercase" for step in steps)
        # An array of ids takes a sixth of a list's memory: a line of Chinese is a word.
        self._known: dict[str, array[int]] = {}
        self._single: dict[str, int] = {}  # the known words that are one id

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Self | None:
        """The words of a tokenizer; None if it does not split texts into words first."""
        return None if tokenizer.pre_tokenizer is None else cls(tokenizer)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, `[CLS]` first."""
        known, single = self._known, self._single
        encoded: list[list[int]] = [[]] * len(texts)
        unknown: dict[int, list[str]] = {}
        whole = []
        for place, text in enumerate(texts):
            if not _is_plain(text):
                whole.append(place)
                continue
            words = _words(text, lowercase=self._has_lower_case)
            try:
                encoded[place] = [CLS_ID, *map(single.__getitem__, words)]
            except KeyError:
                if max(map(len, words)) <= _MAX_CHARACTERS:
                    unknown[place] = words
                else:
                    whole.append(place)
        needed = dict.fromkeys(chain.from_iterable(unknown.values()))
        new = [word for word in needed if word not in known]
        if len(known) + len(new) > _MAX_WORDS:
            # Later calls begin with none; this one, and others that run, keep what they know.
            self._known, self._single = {}, {}
        kept = (array("i", each) for each in self._ids(new, add_special_tokens=False))
        known.update(zip(new, kept, strict=True))
        single.update((word, known[word][0]) for word in new if len(known[word]) == 1)
        for place, words in unknown.items():
            encoded[place] = [CLS_ID, *chain.from_iterable(map(known.__getitem__, words))]
        for place, ids in zip(whole, self._ids([texts[each] for each in whole]), strict=True):
            encoded[place] = ids
        return encoded

    def _ids(self, texts: list[str], *, add_special_tokens: bool = True) -> list[list[int]]:
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=add_special_tokens)
        return [encoding.ids for encoding in encodings]


def _words(text: str, *, lowercase: bool) -> list[str]:
    words: list[str] = []
    parts = ((True, [text]),) if text.isascii() else groupby(text.split(" "), str.isascii)
    for is_ascii, part in parts:
        if is_ascii:
            joined = " ".join(part)
            words += _ascii_words(joined.lower() if lowercase else joined)
        else:
            words += part
    return words


def _ascii_words(text: str) -> list[str]:
    """The runs of letters and digits of a text of ASCII, and its marks."""
    for mark in _MARKS:
        if mark in text:
            text = text.replace(mark, f" {mark} ")
    return text.split()


def _is_plain(text: str) -> bool:
    """Whether a text has no ASCII character that the normalizer drops, and no special token."""
    if not text.isprintable() and _DROPPED.search(text):
        return False
    return not any(token in text for token in SPECIAL_TOKENS)
