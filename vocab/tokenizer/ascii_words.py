"""The ids of texts of ASCII, whose words are found by one regular expression and looked up.

No normal form changes such a text, so its words are runs of letters and digits, and each mark by
itself; the tokenizer sees each word once. Any other text goes to the tokenizer whole. Long texts
take a fifth of its time.
"""

import json
import re
from collections.abc import Sequence
from itertools import chain
from typing import Self

from tokenizers import Tokenizer

from gatewise.vocab.tokenizer.tokenizer import CLS_ID, SPECIAL_TOKENS

_WORDS = re.compile(r"[A-Za-z0-9]+|[!-/:-@\[-`{-~]")

# What the normalizer drops.
_DROPPED = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")

_MAX_CHARACTERS = 32
"""Longest word that is kept: longer ones rarely come again."""

_MAX_WORDS = 2**17
"""Words that are kept; when there are more, all are forgotten."""


class AsciiWords:
    """The ids of words that a tokenizer has seen; safe to use from several threads.

    Args:
        tokenizer: A tokenizer that splits texts into words first.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        steps = json.loads(tokenizer.normalizer.__getstate__())["normalizers"]
        self._tokenizer = tokenizer
        self._has_lower_case = any(step["type"] == "Lowercase" for step in steps)
        self._known: dict[str, list[int]] = {}

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Self | None:
        """The words of a tokenizer; None if it does not split texts into words first."""
        return None if tokenizer.pre_tokenizer is None else cls(tokenizer)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, `[CLS]` first."""
        known = self._known
        encoded: list[list[int]] = [[]] * len(texts)
        unknown: dict[int, list[str]] = {}
        whole = []
        for place, text in enumerate(texts):
            if not _is_plain(text):
                whole.append(place)
                continue
            words = _WORDS.findall(text.lower() if self._has_lower_case else text)
            try:
                encoded[place] = [CLS_ID, *chain.from_iterable(map(known.__getitem__, words))]
            except KeyError:
                if max(map(len, words)) <= _MAX_CHARACTERS:
                    unknown[place] = words
                else:
                    whole.append(place)
        needed = dict.fromkeys(chain.from_iterable(unknown.values()))
        new = [word for word in needed if word not in known]
        if len(known) + len(new) > _MAX_WORDS:
            # Later calls begin with none; this one, and others that run, keep what they know.
            self._known = {}
        known.update(zip(new, self._ids(new, add_special_tokens=False), strict=True))
        for place, words in unknown.items():
            encoded[place] = [CLS_ID, *chain.from_iterable(map(known.__getitem__, words))]
        for place, ids in zip(whole, self._ids([texts[each] for each in whole]), strict=True):
            encoded[place] = ids
        return encoded

    def _ids(self, texts: list[str], *, add_special_tokens: bool = True) -> list[list[int]]:
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=add_special_tokens)
        return [encoding.ids for encoding in encodings]


def _is_plain(text: str) -> bool:
    """Whether a text is ASCII, without characters that are dropped and without special tokens."""
    if not text.isascii() or (not text.isprintable() and _DROPPED.search(text)):
        return False
    return not any(token in text for token in SPECIAL_TOKENS)
