"""How the entries of a dictionary are spelled: the character n-grams that each is made of.

A word's vector is the sum of one of its own and of one for each stretch of characters in it, as in
fastText (Bojanowski et al. 2017, "Enriching Word Vectors with Subword Information"): rare words
learn from words that are spelled alike. A dictionary has an end, so the sums are taken once, when
a network is exported, and cost nothing in answering.

Owns which stretches there are; `gatewise.training.network.char_ngram_embedding` owns their
vectors. Does not import TensorFlow.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from gatewise.vocab.tokenizer.tokenizer import SPECIAL_TOKENS
from numpy.typing import NDArray
from tokenizers import Tokenizer

_MOST = 24
"""Stretches that count of one entry, the first ones: those of some ten characters."""

_ENTRIES = 2
"""Entries that a stretch must be in: one of a single entry tells no more than the entry does."""


@dataclass(frozen=True)
class CharNgrams:
    """The stretches of characters in each entry of a dictionary.

    Attributes:
        stretches: A row for each id, int32 `(vocab, most)`: numbers of stretches from 1 on, filled
            up with 0.
        count: How many stretches there are, and one more for 0.
    """

    stretches: NDArray[np.int32]
    count: int


def char_ngrams(tokenizer: Tokenizer, lengths: Sequence[int]) -> CharNgrams | None:
    """Finds the stretches of a dictionary's entries.

    Args:
        tokenizer: The dictionary.
        lengths: Characters of a stretch; the beginning and the end of an entry count as one each.

    Returns:
        None if no stretch is in two entries.
    """
    entries = tokenizer.get_vocab()
    names = sorted((id_, token) for token, id_ in entries.items() if token not in SPECIAL_TOKENS)
    counts: Counter[str] = Counter()
    for _, token in names:
        counts.update(set(_of(token, lengths)))
    shared = (stretch for stretch, count in counts.items() if count >= _ENTRIES)
    numbers = {stretch: number for number, stretch in enumerate(sorted(shared), start=1)}
    if not numbers:
        return None
    rows = np.zeros((max(entries.values()) + 1, _MOST), dtype=np.int32)
    for id_, token in names:
        # Each once, in the order of the word.
        found = dict.fromkeys(stretch for stretch in _of(token, lengths) if stretch in numbers)
        known = [numbers[stretch] for stretch in found][:_MOST]
        rows[id_, : len(known)] = known
    return CharNgrams(rows[:, : max(1, int((rows > 0).sum(axis=1).max()))], len(numbers) + 1)


def _of(token: str, lengths: Sequence[int]) -> Iterator[str]:
    """The stretches of an entry; one that is a single character has none.

    >>> list(_of("who", (3, 4)))
    ['<wh', 'who', 'ho>', '<who', 'who>']
    """
    if len(token) < 2:
        return
    marked = f"<{token}>"
    for length in lengths:
        for start in range(len(marked) - length + 1):
            yield marked[start : start + length]
