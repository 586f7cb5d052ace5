"""How many of the tokens of texts are in a tokenizer's vocabulary.

A word that is not, and is read as pieces, counts as one token.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from gatewise.vocab.tokenizer.tokenizer import UNKNOWN_ID
from gatewise.vocab.tokenizer.word_pieces import inside_words, piece_ids

_BATCH_TEXTS = 4096


@dataclass(frozen=True)
class Coverage:
    """How many of the tokens of some texts are in the vocabulary.

    Attributes:
        texts: Number of texts.
        tokens: Their tokens; a word in pieces is one.
        known: Those that are in the vocabulary.
        in_pieces: The words that are not, and are read as pieces; the rest is the unknown token.
    """

    texts: int
    tokens: int
    known: int
    in_pieces: int = 0

    @property
    def share(self) -> float:
        """Share of tokens that are in the vocabulary."""
        return self.known / self.tokens if self.tokens else 0.0

    @property
    def unknown(self) -> int:
        """Tokens that are not in the vocabulary, words in pieces among them."""
        return self.tokens - self.known

    def __add__(self, other: "Coverage") -> "Coverage":
        return Coverage(
            self.texts + other.texts,
            self.tokens + other.tokens,
            self.known + other.known,
            self.in_pieces + other.in_pieces,
        )


class CoverageCounter:
    """Counts known words, words in pieces and unknown words among the ids of a tokenizer.

    Attributes:
        has_pieces: Whether words that the vocabulary lacks are read as pieces.

    Args:
        tokenizer: The tokenizer; None for any that has no pieces of words.
    """

    def __init__(self, tokenizer: Tokenizer | None = None) -> None:
        self._is_inside = inside_words(tokenizer) if tokenizer else np.zeros(0, dtype=np.bool_)
        self.has_pieces = bool(self._is_inside.any())
        self._pieces = piece_ids(tokenizer) if tokenizer else range(0)

    def count(self, texts: Sequence[NDArray[np.int64]]) -> Coverage:
        """The coverage of texts as ids; at least one text."""
        ids = np.concatenate(texts)
        unknown = int(np.count_nonzero(ids == UNKNOWN_ID))
        if not self.has_pieces:
            return Coverage(len(texts), len(ids), len(ids) - unknown)
        is_inside = self._is_inside[ids]
        in_pieces = self._in_pieces(ids, is_inside)
        words = len(ids) - int(np.count_nonzero(is_inside))
        return Coverage(len(texts), words, words - unknown - in_pieces, in_pieces)

    def count_unknown(self, texts: Sequence[NDArray[np.int64]]) -> int:
        """`Coverage.unknown` of texts as ids, at least one; faster, for every request."""
        ids = texts[0] if len(texts) == 1 else np.concatenate(texts)
        unknown = int(np.count_nonzero(ids == UNKNOWN_ID))
        return unknown + self._in_pieces(ids, self._is_inside[ids]) if self.has_pieces else unknown

    def _in_pieces(self, ids: NDArray[np.int64], is_inside: NDArray[np.bool_]) -> int:
        goes_on = np.append(is_inside[1:], False)
        is_piece = (ids >= self._pieces.start) & (ids < self._pieces.stop)
        return int(np.count_nonzero(~is_inside & (goes_on | is_piece)))


def measure_coverage(tokenizer: Tokenizer, texts: Iterable[str]) -> Coverage:
    """Counts the tokens of a corpus, `[CLS]` not counted, and those in the vocabulary."""
    counter, found = CoverageCounter(tokenizer), Coverage(0, 0, 0)
    stream = iter(texts)
    while batch := list(islice(stream, _BATCH_TEXTS)):
        encodings = tokenizer.encode_batch_fast(batch, add_special_tokens=False)
        found += counter.count([np.array(each.ids, dtype=np.int64) for each in encodings])
    return found
