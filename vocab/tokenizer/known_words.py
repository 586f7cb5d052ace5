"""The ids of texts, whose words are split off without the tokenizer and looked up.

No normal form changes ASCII, so the words of such a text are runs of letters and digits, and each
mark by itself; of any other text what is between two spaces is a word, unless it is ASCII. The
tokenizer sees each word once.

A single text is split by string methods; many are split and looked up by operations on arrays, in a
third of the time.
"""

import json
import re
import string
from array import array
from collections.abc import Sequence
from itertools import chain, groupby, pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from gatewise.vocab.tokenizer.tokenizer import CLS_ID, SPECIAL_TOKENS
from gatewise.vocab.tokenizer.word_table import LONGEST, WordTable, keys_of

_MARKS = string.punctuation

# What the normalizer drops.
_DROPPED = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")

_BEGIN, _OTHER = "\x01", "\x02"
"""Marks that no text has by then: its begin, and what stands for a string of `_in_ascii`."""

_MARK, _LETTER = 1, 2
_KINDS = bytes(
    _MARK if chr(code) in _MARKS + _BEGIN + _OTHER else _LETTER if chr(code).isalnum() else 0
    for code in range(256)
)
"""What a byte of ASCII is: a word by itself, a letter or digit of one, or white space."""

_MAX_CHARACTERS = 32
"""Longest word that is kept: longer ones rarely come again."""

_MAX_TEXTS = 256
"""Texts that are looked up at once: later ones find the words of the earlier ones known."""

_MAX_WORDS = 2**17
"""Words that are kept; when there are more, all are forgotten."""


class _Known:
    """Words with their ids: all, those that are one id, and most of these in ASCII."""

    def __init__(self) -> None:
        # An array of ids takes a sixth of a list's memory: a line of Chinese is a word.
        self.words: dict[str, array[int]] = {}
        self.single: dict[str, int] = {}
        self.table = WordTable()


class KnownWords:
    """The ids of words that a tokenizer has seen; safe to use from several threads.

    Args:
        tokenizer: A tokenizer that splits texts into words first.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        steps = json.loads(tokenizer.normalizer.__getstate__())["normalizers"]
        self._tokenizer = tokenizer
        self._has_lower_case = any(step["type"] == "Lowercase" for step in steps)
        self._known = _Known()

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Self | None:
        """The words of a tokenizer; None if it does not split texts into words first."""
        return None if tokenizer.pre_tokenizer is None else cls(tokenizer)

    def encode(self, text: str) -> list[int]:
        """The ids of a text, `[CLS]` first."""
        words, known = [text], self._known
        if _is_plain(text):
            words = _words(text, lowercase=self._has_lower_case)
            try:
                return [CLS_ID, *map(known.single.__getitem__, words)]
            except KeyError:
                pass
        return [CLS_ID, *chain.from_iterable(self._ids(words, known))]

    def encode_together(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The ids of texts, one after another, and the number of ids of each, `[CLS]` first."""
        starts = range(0, len(texts), _MAX_TEXTS)
        parts = [self._looked_up(texts[start : start + _MAX_TEXTS]) for start in starts]
        ids, lengths = zip(*parts, strict=True)
        return np.concatenate(ids), np.concatenate(lengths)

    def _looked_up(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        known = self._known
        others: list[str] = []
        joined = _BEGIN + _BEGIN.join([_in_ascii(text, others) for text in texts])
        data = (joined.lower() if self._has_lower_case else joined).encode() + bytes(LONGEST)
        kinds = np.frombuffer(data.translate(_KINDS), dtype=np.uint8)
        begins, ends, is_letter = kinds == _MARK, kinds == _MARK, kinds == _LETTER
        begins[1:] |= is_letter[1:] & ~is_letter[:-1]
        ends[:-1] |= is_letter[:-1] & ~is_letter[1:]
        starts, stops = np.flatnonzero(begins), np.flatnonzero(ends) + 1
        marks = np.frombuffer(data, dtype=np.uint8)[starts]
        keys = keys_of(data, starts, stops - starts)
        keys[:, marks == ord(_OTHER)] = 0
        ids = known.table.look_up(keys).astype(np.int64)
        counts = np.ones(len(ids), dtype=np.int64)
        is_begin = marks == ord(_BEGIN)
        ids[is_begin] = CLS_ID
        found: list[array[int]] = []
        if len(missed := np.flatnonzero(ids < 0)):
            places = zip(starts[missed].tolist(), stops[missed].tolist(), strict=True)
            words = [data[start:stop].decode() for start, stop in places]
            rest = iter(others)
            found = self._ids([next(rest) if each == _OTHER else each for each in words], known)
            counts[missed] = [*map(len, found)]
            single = [each[0] for each in found if len(each) == 1]
            known.table.add(keys[:, missed[counts[missed] == 1]], np.array(single))
        firsts = (counts.cumsum() - counts)[is_begin]
        ids = ids.repeat(counts)
        ids[ids < 0] = np.fromiter(chain.from_iterable(found), dtype=np.int64)
        return ids, np.diff(firsts, append=len(ids))

    def _ids(self, words: Sequence[str], known: _Known) -> "list[array[int]]":
        """The ids of each word, or of any string, without `[CLS]`."""
        try:
            return [*map(known.words.__getitem__, words)]
        except KeyError:
            new = [word for word in dict.fromkeys(words) if word not in known.words]
        if len(known.words) + len(new) > _MAX_WORDS:
            # Later calls begin with none; this one, and others that run, keep what they know.
            self._known = _Known()
        ids_of_new = dict(zip(new, self._tokenized(new), strict=True))
        for word, ids in ids_of_new.items():
            if len(word) <= _MAX_CHARACTERS:
                known.words[word] = ids
                if len(ids) == 1:
                    known.single[word] = ids[0]
        return [ids_of_new[word] if word in ids_of_new else known.words[word] for word in words]

    def _tokenized(self, words: list[str]) -> "list[array[int]]":
        """The ids of each word by the tokenizer, which takes less time for all at once."""
        (encoding,) = self._tokenizer.encode_batch(
            [words], is_pretokenized=True, add_special_tokens=False
        )
        ids = array("i", encoding.ids)
        places = np.array(encoding.word_ids, dtype=np.int64)
        stops = np.bincount(places, minlength=len(words)).cumsum().tolist()
        return [ids[start:stop] for start, stop in pairwise([0, *stops])]


def _in_ascii(text: str, others: list[str]) -> str:
    """A text with marks in place of the strings that are not split here, which are collected."""
    if not _is_plain(text):
        others.append(text)
        return _OTHER
    if text.isascii():
        return text
    words = text.split(" ")
    others += [word for word in words if not word.isascii()]
    return " ".join([word if word.isascii() else _OTHER for word in words])


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
    return "[" not in text or not any(token in text for token in SPECIAL_TOKENS)
