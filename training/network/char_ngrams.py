"""The character n-grams of each token of a vocabulary.

A word's vector is the sum of one of its own and of one for each of its character n-grams, as in
fastText (Bojanowski et al. 2017, "Enriching Word Vectors with Subword Information"), so that rare
words learn from words with a similar spelling. The vocabulary is fixed, so the export computes the
sums once and they cost nothing at inference. Does not import TensorFlow.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from gatewise.training.network.word_splits import word_splits
from gatewise.vocab.tokenizer.tokenizer import SPECIAL_TOKENS
from gatewise.vocab.tokenizer.word_pieces import CONTINUATION

_MAX_NGRAMS = 24
"""N-grams used of one token by default, its first ones: those of some ten characters."""

_MIN_TOKENS = 2
"""Tokens that an n-gram must occur in: one of a single token adds nothing to that token's own.

Pieces of words do not count: most occur in no training text.
"""


@dataclass(frozen=True)
class CharNgrams:
    """The character n-grams of each token of a vocabulary.

    Attributes:
        rows: A row for each token id, int32 `(vocab, width)`: n-gram numbers from 1, padded with 0.
        count: Number of n-grams, plus one for the padding.
    """

    rows: NDArray[np.int32]
    count: int


def char_ngrams(
    tokenizer: Tokenizer, lengths: Sequence[int], limit: int = _MAX_NGRAMS
) -> CharNgrams | None:
    """Finds the character n-grams of a vocabulary's tokens.

    A piece of a word has no mark at an end where the word goes on, as most words with it do.

    Args:
        tokenizer: The tokenizer.
        lengths: Characters of an n-gram; the start and the end of a token count as one each.
        limit: N-grams used of one token, its first ones.

    Returns:
        None if no n-gram occurs in two tokens.
    """
    vocabulary = tokenizer.get_vocab()
    splits = word_splits(tokenizer)
    pieces = splits.piece_ids if splits else range(0)
    final = splits.final_pieces() if splits else frozenset()
    tokens = sorted(
        (id_, _marked(token, goes_on=id_ in pieces and id_ not in final))
        for token, id_ in vocabulary.items()
        if token not in SPECIAL_TOKENS
    )
    counts: Counter[str] = Counter()
    for id_, token in tokens:
        if id_ not in pieces:
            counts.update(set(_ngrams_of(token, lengths)))
    shared = (ngram for ngram, count in counts.items() if count >= _MIN_TOKENS)
    numbers = {ngram: number for number, ngram in enumerate(sorted(shared), start=1)}
    if not numbers:
        return None
    rows = np.zeros((max(vocabulary.values()) + 1, limit), dtype=np.int32)
    for id_, token in tokens:
        # Each once, in the order of the word.
        found = dict.fromkeys(ngram for ngram in _ngrams_of(token, lengths) if ngram in numbers)
        row = [numbers[ngram] for ngram in found][:limit]
        rows[id_, : len(row)] = row
    return CharNgrams(rows[:, : max(1, int((rows > 0).sum(axis=1).max()))], len(numbers) + 1)


def _marked(token: str, *, goes_on: bool) -> str:
    """A token between marks of a word's begin and end; a word of a single character has none.

    >>> _marked("who", goes_on=False), _marked("who", goes_on=True), _marked("##le", goes_on=False)
    ('<who>', '<who', 'le>')
    """
    end = "" if goes_on else ">"
    if token.startswith(CONTINUATION) and len(token) > len(CONTINUATION):
        return token.removeprefix(CONTINUATION) + end
    return f"<{token}{end}" if goes_on or len(token) > 1 else ""


def _ngrams_of(token: str, lengths: Sequence[int]) -> Iterator[str]:
    """The n-grams of a token between marks.

    >>> list(_ngrams_of("<who>", (3, 4)))
    ['<wh', 'who', 'ho>', '<who', 'who>']
    """
    for length in lengths:
        for start in range(len(token) - length + 1):
            yield token[start : start + length]
