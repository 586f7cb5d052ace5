"""Pieces of words: what a word that the vocabulary lacks is split into.

A WordPiece model (Schuster and Nakajima 2012, "Japanese and Korean Voice Search") reads a word of
its vocabulary as one token, and splits any other into the longest entries that fit, from left to
right. The pieces are the most frequent parts of the words of the training texts, single characters
first, so that a word is unknown only if a character of it is.

In a vocabulary, the words come first, then the pieces inside a word, then those at its begin: so a
vocabulary tells by itself which of its entries are words. Words that are added later follow an
entry that ends the pieces.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models

CONTINUATION = "##"
"""Prefix of a piece that does not begin a word."""

END_OF_PIECES = CONTINUATION
"""The entry between the pieces and words that were added later; no text is split into it."""

MAX_PIECE_CHARACTERS = 6
"""Longest piece."""

_MAX_WORDS = 50_000
"""Words whose parts are counted, the most frequent ones: bounds time and memory."""

_MIN_WORDS = 2
"""Words that a piece of several characters must occur in."""


def word_pieces(words: Sequence[str], limit: int) -> list[str]:
    """The pieces of some words, in the order of a vocabulary.

    Every word counts once, however frequent it is: the words that a vocabulary lacks are rare.

    >>> word_pieces(["sing", "singer", "ring"], 9)
    ['##g', '##i', '##n', '##e', '##r', '##ing', 's', 'r', 'sing']

    Args:
        words: Words, the most frequent first, without repetitions.
        limit: Maximum number of pieces.
    """
    single: Counter[str] = Counter()
    longer: Counter[str] = Counter()
    for word in words[:_MAX_WORDS]:
        if len(word) < 2:
            continue
        single.update({word[0], *(CONTINUATION + character for character in word[1:])})
        longer.update(
            {
                (CONTINUATION if start else "") + word[start:end]
                for start in range(len(word))
                for end in range(start + 2, min(start + MAX_PIECE_CHARACTERS, len(word)) + 1)
            }
        )
    pieces = sorted(single, key=lambda piece: (-single[piece], piece))
    frequent = [piece for piece, count in longer.items() if count >= _MIN_WORDS]
    # Characters that a piece saves, over all words.
    saved = {piece: longer[piece] * (len(_bare(piece)) - 1) for piece in frequent}
    pieces += sorted(frequent, key=lambda piece: (-saved[piece], piece))
    return sorted(pieces[:limit], key=lambda piece: not piece.startswith(CONTINUATION))


def inside_words(tokenizer: Tokenizer) -> NDArray[np.bool_]:
    """Whether each id is that of a piece that does not begin a word, bool `(vocab,)`."""
    entries = tokenizer.get_vocab(with_added_tokens=False)
    found = np.zeros(len(entries), dtype=np.bool_)
    if isinstance(tokenizer.model, models.WordPiece):
        inside = [id_ for entry, id_ in entries.items() if entry.startswith(CONTINUATION)]
        found[inside] = True
    return found


def piece_ids(tokenizer: Tokenizer) -> range:
    """The ids of the pieces; without pieces an empty range after the last entry."""
    is_inside = inside_words(tokenizer)
    if not is_inside.any():
        return range(len(is_inside), len(is_inside))
    end = tokenizer.token_to_id(END_OF_PIECES)
    return range(int(is_inside.argmax()), len(is_inside) if end is None else end + 1)


def split_word(word: str, ids: Mapping[str, int]) -> list[int] | None:
    """The ids of the entries that a word would be split into if it were not one; None if unknown.

    >>> split_word("sing", {"s": 3, "si": 4, "sing": 5, "##n": 6, "##g": 7})
    [4, 6, 7]
    """
    found, start = [], 0
    while start < len(word):
        mark = CONTINUATION if start else ""
        ends = range(len(word) if start else len(word) - 1, start, -1)
        end = next((end for end in ends if mark + word[start:end] in ids), None)
        if end is None:
            return None
        found.append(ids[mark + word[start:end]])
        start = end
    return found


def _bare(piece: str) -> str:
    return piece.removeprefix(CONTINUATION)
