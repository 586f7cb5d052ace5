"""MinHash signatures of texts, from which the similarity of two texts is estimated.

MinHash (Broder 1997, "On the resemblance and containment of documents"): the share of positions in
which two signatures agree estimates the Jaccard similarity of the two sets of word n-grams.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from gatewise.vocab.tokenizer.character_classes import UNSPACED_BLOCKS

LANES = 128
"""Numbers of a signature: the estimate's standard deviation is at most 1 / (2 · √128) = 0.044."""

RUN = 3
"""Units of a run (an n-gram of words). A text with fewer units has no run and no signature."""

_LONGEST = 1 << 20
"""Characters of a text that are read, so that a giant text does not need giant arrays."""

_CHARACTERS = 1 << 18
"""Characters processed at a time, unless one text is longer."""

_RUNS = 1 << 15
"""Runs whose minima are computed at a time, so that they stay in the processor's cache."""

_BETWEEN, _WORD, _ALONE = range(3)
"""The kinds of characters: between units, part of a word, a unit by itself."""

_SPREADING = np.uint32(0x85EBCA6B)  # an odd number of the finalizer of MurmurHash3

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio, made odd


def normalized(text: str) -> str:
    r"""The form in which two texts are the same: NFKC, case folded, white space collapsed.

    Example:
        >>> normalized(" Ｇood   Morning\n")
        'good morning'
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


def signatures(texts: Sequence[str]) -> tuple[NDArray[np.bool_], NDArray[np.uint16]]:
    """The signatures of normalized texts.

    Units are the words, without punctuation, and each symbol and each character of a script that
    puts no space between words. A signature stands for the set of all runs of three consecutive
    units.

    Args:
        texts: Texts as `normalized` gives them.

    Returns:
        Which texts have a signature, `(texts,)`: those of three units or more. The signatures
        of these, `(those texts, LANES)`, the same on every machine.
    """
    long_enough = np.zeros(len(texts), dtype=np.bool_)
    found = [np.empty((0, LANES), dtype=np.uint16)]
    for start, end in _pieces(texts):
        hashes, counts = _runs(texts[start:end])
        long_enough[start:end] = counts > 0
        found.extend(_minima(hashes, counts[counts > 0]))
    return long_enough, np.concatenate(found)


def _pieces(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Ranges of texts that are processed together."""
    start = size = 0
    for place, text in enumerate(texts):
        length = min(len(text), _LONGEST)
        if place > start and size + length > _CHARACTERS:
            yield start, place
            start, size = place, 0
        size += length
    if start < len(texts):
        yield start, len(texts)


def _runs(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The hashes of the runs of some texts, one text after the other, and how many each has."""
    # A space after each text keeps the words of two texts apart.
    joined = "".join(text[:_LONGEST] + " " for text in texts)
    code = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    kinds = _kinds()
    kind = kinds[np.minimum(code, len(kinds) - 1)]
    inside = np.flatnonzero(kind != _BETWEEN)
    if not len(inside):
        return np.empty(0, dtype=np.uint64), np.zeros(len(texts), dtype=np.int64)
    kind = kind[inside]
    opens = np.ones(len(inside), dtype=np.bool_)
    opens[1:] = (np.diff(inside) > 1) | (kind[1:] == _ALONE) | (kind[:-1] == _ALONE)
    starts = np.flatnonzero(opens)
    lengths = np.diff(starts, append=len(inside))
    # A unit's hash is a polynomial in its characters, modulo 2**64.
    power = np.ones(lengths.max(), dtype=np.uint64)
    np.cumprod(np.full(len(power) - 1, _MULTIPLIER), out=power[1:])
    within = np.arange(len(inside)) - np.repeat(starts, lengths)
    unit = _mixed(np.add.reduceat(_mixed(code[inside].astype(np.uint64)) * power[within], starts))
    ends = np.cumsum([min(len(text), _LONGEST) + 1 for text in texts])
    text_of = np.searchsorted(ends, inside[starts], side="right")
    counts = np.maximum(np.bincount(text_of, minlength=len(texts)) - (RUN - 1), 0)
    whole = text_of[RUN - 1 :] == text_of[: len(text_of) - (RUN - 1)]
    run = np.zeros(len(whole), dtype=np.uint64)
    for place in range(RUN):
        run = run * _MULTIPLIER + unit[place : place + len(whole)]
    return _mixed(run[whole]), counts


def _minima(hashes: NDArray[np.uint64], counts: NDArray[np.int64]) -> Iterator[NDArray[np.uint16]]:
    """The signatures of texts from the hashes of their runs, some texts at a time."""
    ends = np.cumsum(counts)
    masks, factors = _permutations()
    first = 0
    while first < len(counts):
        offset = ends[first] - counts[first]
        last = max(int(np.searchsorted(ends, offset + _RUNS, side="right")), first + 1)
        some = hashes[offset : ends[last - 1]]
        # Two hashes of 32 bits: of one alone, chance would make some of ten million texts alike.
        halves = some.astype(np.uint32), (some >> np.uint64(32)).astype(np.uint32)
        starts = ends[first:last] - counts[first:last] - offset
        signature = np.empty((LANES, last - first), dtype=np.uint16)
        for lane in range(LANES):
            values = (halves[lane % 2] ^ masks[lane]) * factors[lane]
            minima = np.minimum.reduceat(values, starts)
            # Half of the bits: they differ where the minima do, except for one in 65536. The upper
            # half of a product, because the lower half depends on the lower bits only.
            signature[lane] = (minima * _SPREADING) >> np.uint32(16)
        yield signature.T
        first = last


@cache
def _kinds() -> NDArray[np.uint8]:
    """The kind of each character; characters past the last entry are of its kind."""
    of_category = {"L": _WORD, "M": _WORD, "N": _WORD, "S": _ALONE}
    kinds = np.fromiter(
        (of_category.get(unicodedata.category(chr(code))[0], _BETWEEN) for code in range(0x323B1)),
        dtype=np.uint8,
    )
    for low, high in UNSPACED_BLOCKS:
        block = kinds[low : high + 1]
        block[block == _WORD] = _ALONE
    kinds.flags.writeable = False
    return kinds


@cache
def _permutations() -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """A mask and an odd factor for each lane, which permute the 32-bit numbers."""
    drawn = _mixed(np.arange(1, 2 * LANES + 1, dtype=np.uint64) * _MULTIPLIER) >> np.uint64(32)
    masks, factors = drawn.astype(np.uint32).reshape(2, LANES)
    return masks, factors | np.uint32(1)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spreads every bit over all, as the finalizer of MurmurHash3 does (Appleby, public domain)."""
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return values ^ (values >> np.uint64(33))
