"""The words that are near a word in the table of an encoder's own tokens.

Words of similar meaning or use have near vectors there. The vectors are centred first, because
those of frequent tokens share a large part (Mu and Viswanath, 2018, "All-but-the-Top").
"""

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders

from gatewise.vocab.tokenizer import character_classes

_NEIGHBOURS = 12
_MIN_SIMILARITY = 0.3
_WINDOW = 512

_FUNCTION_WORDS, _FUNCTION_WORD_SHARE = 200, 0.01
"""The first words of a tokenizer, its most frequent, so many or such a share of all at most: they
carry the grammar, and near them are others that would change it."""


def neighbours(
    tokenizer: Tokenizer, vectors: NDArray[np.float32], words: Collection[str]
) -> Mapping[str, tuple[str, ...]]:
    """The nearest words of each word, nearest first, in lower case.

    Args:
        tokenizer: The encoder's tokenizer.
        vectors: The vector of each of its tokens, `(vocab, width)`.
        words: Words in lower case; those that the tokenizer splits, or that are among its most
            frequent, have no neighbours.
    """
    known = whole_words(tokenizer, len(vectors))
    if len(known) < 2:
        return {}
    names, ids = list(known), np.array(list(known.values()))
    matrix = vectors[ids].astype(np.float32)
    matrix -= matrix.mean(axis=0)
    matrix /= np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)
    places = {name: place for place, name in enumerate(names)}
    frequent = int(min(_FUNCTION_WORDS, _FUNCTION_WORD_SHARE * len(names)))
    # Characters of scripts without spaces are in the order of their code points.
    left_alone = set([name for name in names if len(name) > 1][:frequent])
    wanted = sorted(places[word] for word in set(words) - left_alone if word in places)
    count = min(_NEIGHBOURS + 1, len(names))
    found = {}
    for start in range(0, len(wanted), _WINDOW):
        window = wanted[start : start + _WINDOW]
        similarities = matrix[window] @ matrix.T
        similarities[np.arange(len(window)), window] = -1
        nearest = np.argpartition(-similarities, count - 1, axis=1)[:, : count - 1]
        for place, of_word, near in zip(window, similarities, nearest, strict=True):
            order = sorted(near.tolist(), key=lambda other: (-of_word[other], other))
            near_words = tuple(names[n] for n in order if of_word[n] > _MIN_SIMILARITY)
            if near_words:
                found[names[place]] = near_words
    return found


def whole_words(tokenizer: Tokenizer, vocab_size: int) -> dict[str, int]:
    """The tokens that are whole words, in lower case, with their ids in ascending order.

    Tokenizers mark either the pieces that continue a word (`##`, WordPiece) or those that begin one
    (`▁`, SentencePiece, and `Ġ`, byte-level BPE); scripts without spaces have no mark.
    """
    tokens = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    mark = next((mark for mark in ("▁", "Ġ") if _has_mark(mark, tokens)), None)
    bytes_to_text = decoders.ByteLevel()
    found: dict[str, int] = {}
    for token, id_ in tokens:
        word = bytes_to_text.decode([token]) if mark == "Ġ" else token.replace("▁", " ")
        if mark and not word.startswith(" ") and not _is_unspaced(word):
            continue
        word = word.strip().lower()
        is_word = word.isalpha() and (len(word) > 1 or _is_unspaced(word))
        if is_word and id_ < vocab_size and not token.startswith("##"):
            found.setdefault(word, id_)
    return found


def _has_mark(mark: str, tokens: list[tuple[str, int]]) -> bool:
    """Whether a twentieth of the tokens or more begin with a mark."""
    return 20 * sum(token.startswith(mark) for token, _ in tokens) >= len(tokens)


def _is_unspaced(word: str) -> bool:
    return bool(word) and all(
        any(first <= ord(character) <= last for first, last in character_classes.UNSPACED_BLOCKS)
        for character in word
    )
