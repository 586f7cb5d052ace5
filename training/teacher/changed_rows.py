"""Changed copies of the rows of a corpus, each of which is a text that nothing else has."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache
from itertools import chain

import numpy as np

from gatewise.training.data.corpora import Rows
from gatewise.training.data.minhash import normalized
from gatewise.training.data.stored_rows import StoredRows
from gatewise.training.teacher.changed_copies import TextChanger, units
from gatewise.training.teacher.teacher import text_digest
from gatewise.vocab.corpus.corpus_reader import Row
from gatewise.vocab.tokenizer import character_classes

_MAX_POOL = 20_000
"""Texts that words and ends of copies are drawn from."""


class KnownTexts:
    """Texts that no copy may be, up to case and white space."""

    def __init__(self) -> None:
        self._keys: set[bytes] = set()

    def add(self, texts: Iterable[str]) -> None:
        """Adds some texts."""
        self._keys.update(text_digest(normalized(text)) for text in texts)

    def is_new(self, text: str) -> bool:
        """Whether a text has a token and was not known before; it then is."""
        key = text_digest(normalized(text))
        if not _dropped().sub("", text).strip() or key in self._keys:
            return False
        self._keys.add(key)
        return True


class RowChanger:
    """Makes changed copies of the training rows; the same seed makes the same copies.

    Attributes:
        has_neighbours: Whether words are replaced by words of similar meaning.
    """

    def __init__(
        self,
        rows: Rows,
        seed: int,
        known: KnownTexts,
        similar_words: Callable[[Collection[str]], Mapping[str, tuple[str, ...]]],
    ) -> None:
        """Takes what copies are made of.

        Args:
            rows: The rows.
            seed: The seed of chance.
            known: Texts that no copy may be; each copy is added.
            similar_words: Words of similar meaning, for those of some words that have any.
        """
        pool = sample(rows.train)
        neighbours = similar_words({unit.strip().lower() for text in pool for unit in units(text)})
        self.has_neighbours = bool(neighbours)
        self._changer = TextChanger(pool, neighbours)
        self._rows, self._seed, self._known = rows, seed, known

    def copies(self, number: int) -> Iterator[tuple[list[Row], int]]:
        """A changed copy of each row, with the labels of the row, thousands of rows at a time.

        Args:
            number: The number of the copy, from zero.

        Yields:
            The copies, and of how many rows the copy is no new text.
        """
        generator = np.random.default_rng([self._seed, number])
        for window in self._rows.train.windows():
            changed = [
                self._changer.copy(row.text, generator, joins=self._rows.in_scope(row))
                for row in window
            ]
            made = [
                Row(text, row.labels, row.location)
                for text, row in zip(changed, window, strict=True)
                if self._known.is_new(text)
            ]
            yield made, len(window) - len(made)


def sample(rows: StoredRows) -> list[str]:
    """Texts of some rows, evenly spaced."""
    return list(chain.from_iterable(rows.sample(_MAX_POOL).texts()))


@cache
def _dropped() -> re.Pattern[str]:
    return re.compile(character_classes.python_class(character_classes.dropped()))
