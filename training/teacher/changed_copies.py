"""Changed copies of texts: other words, fewer words, parts, two texts joined, mistyped characters.

A teacher labels them, so a change may change the meaning. A unit is a word, or a single character
of punctuation or of a script without spaces, with the white space before it.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from gatewise.vocab.tokenizer import character_classes

_SPAN_SHARE, _JOINED_SHARE, _MISTYPED_SHARE = 0.2, 0.2, 0.1
"""Shares of the copies that are a span of a text, that are joined to the end of another text, and
that have a mistyped character."""

_REPLACED_SHARES = (0.2, 0.4, 0.8)
"""The chance of a word to be replaced by a neighbour, drawn for each text."""

_DROPPED_SHARE, _RANDOM_SHARE = 0.08, 0.15
"""The chances of a word to be dropped, and to be replaced by any word of the texts or any neighbour
of one."""

_MIN_MISTYPED = 4
"""Characters of the shortest text in which one is mistyped."""


class TextChanger:
    """Makes changed copies of texts; the same generator makes the same copies."""

    def __init__(self, texts: Sequence[str], neighbours: Mapping[str, tuple[str, ...]]) -> None:
        """Takes what copies are made with.

        Args:
            texts: Texts of the corpus: words are drawn from them as often as they occur, or from
                the neighbours, and their ends are joined to others.
            neighbours: The words by which a word, in lower case, may be replaced.
        """
        self._texts, self._neighbours = texts, neighbours
        words = [unit.strip() for text in texts for unit in units(text) if unit.strip().isalpha()]
        near = sorted({word for words in neighbours.values() for word in words})
        # About as many of either, however long the texts are.
        self._words = words + near * max(1, len(words) // max(len(near), 1))

    def copy(self, text: str, generator: np.random.Generator, *, joins: bool = True) -> str:
        """A changed copy of a text; it may be the text itself, and it may be empty.

        Args:
            text: The text.
            generator: The source of chance.
            joins: Whether the copy may be joined to the end of another text.
        """
        found = units(text)
        kind = generator.random()
        if kind < _SPAN_SHARE:
            found = _span(found, generator)
        elif joins and kind < _SPAN_SHARE + _JOINED_SHARE and self._texts:
            other = units(self._texts[int(generator.integers(len(self._texts)))])
            end = other[len(other) // 2 :]
            if end and " " in f"{text}{''.join(other)}":
                end = [f" {end[0].lstrip()}", *end[1:]]
            found = [*found, *end]
        changed = "".join(self._changed(found, generator)).strip()
        if generator.random() < _MISTYPED_SHARE:
            return _mistyped(changed, generator)
        return changed

    def _changed(self, found: Sequence[str], generator: np.random.Generator) -> list[str]:
        """The units with words replaced and dropped; one is left at least."""
        replaced_share = _REPLACED_SHARES[generator.integers(len(_REPLACED_SHARES))]
        chances = generator.random((len(found), 2))
        kept = []
        for unit, (chance, replaced) in zip(found, chances, strict=True):
            if chance < _DROPPED_SHARE and len(found) > 1:
                continue
            word = unit.strip()
            other = word
            if chance < _DROPPED_SHARE + _RANDOM_SHARE and word.isalpha() and self._words:
                other = self._words[generator.integers(len(self._words))]
            elif replaced < replaced_share and (near := self._neighbours.get(word.lower())):
                other = near[generator.integers(len(near))]
            kept.append(unit if other == word else unit.replace(word, _cased(other, word)))
        return kept or list(found[:1])


def units(text: str) -> list[str]:
    r"""The units of a text, which joined are the text.

    >>> units("Don't go, 今日")
    ['Don', "'", 't', ' go', ',', ' 今', '日']
    """
    return _unit().findall(text)


@cache
def _unit() -> re.Pattern[str]:
    word = character_classes.python_class(character_classes.word_characters())
    return re.compile(rf"\s*(?:{word}+|\S)|\s+", re.DOTALL)


def _span(found: list[str], generator: np.random.Generator) -> list[str]:
    """Half of the units or more, one after another."""
    length = int(generator.integers((len(found) + 1) // 2, len(found) + 1))
    start = int(generator.integers(len(found) - length + 1))
    return found[start : start + length]


def _cased(word: str, model: str) -> str:
    """A word in the case of another.

    >>> _cased("town", "City"), _cased("town", "CITY"), _cased("town", "city")
    ('Town', 'TOWN', 'town')
    """
    if len(model) > 1 and model.isupper():
        return word.upper()
    return word.capitalize() if model[:1].isupper() else word


def _mistyped(text: str, generator: np.random.Generator) -> str:
    """A text with one character left out, doubled, or in the place of the one after it."""
    if len(text) < _MIN_MISTYPED:
        return text
    place, kind = int(generator.integers(len(text) - 1)), generator.integers(3)
    character, following = text[place], text[place + 1]
    typed = ("", 2 * character, following + character)[kind]
    rest = text[place + 1 :] if kind < 2 else text[place + 2 :]
    return f"{text[:place]}{typed}{rest}".strip()
