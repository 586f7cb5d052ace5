"""A hash table of words of ASCII, which are looked up many at a time by operations on arrays."""

from threading import Lock

import numpy as np
from numpy.typing import NDArray

LONGEST = 16
"""Characters of the longest word that the table can hold; hardly any is longer."""

_BITS = 18
_FACTORS = np.array([[0x9E3779B97F4A7C15], [0xC2B2AE3D27D4EB4F]], dtype=np.uint64)
_MASKS = np.array([256**size - 1 for size in range(9)], dtype=np.uint64)

Keys = NDArray[np.uint64]
"""Words as numbers, `(2, words)`: the first eight characters, and the others; 0 for a word that the
table cannot hold."""


def keys_of(data: bytes, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Keys:
    """The keys of words.

    Args:
        data: Text in ASCII, and `LONGEST` bytes more after the last word.
        starts: Index of each word in it, `(words,)`.
        lengths: Characters of each, `(words,)`.
    """
    eights = np.ndarray((len(data) - 7,), "<u8", data, strides=(1,))
    keys = np.zeros((2, len(starts)), dtype=np.uint64)
    keys[0] = eights[starts] & _MASKS.take(lengths, mode="clip")
    longer = np.flatnonzero(lengths > 8)
    keys[1, longer] = eights[starts[longer] + 8] & _MASKS.take(lengths[longer] - 8, mode="clip")
    keys[:, longer[lengths[longer] > LONGEST]] = 0
    return keys


class WordTable:
    """Words with one id each; safe to use from several threads.

    A word whose slot another has is left out: the first to come are the frequent ones.
    """

    def __init__(self) -> None:
        self._keys = np.zeros((2, 2**_BITS), dtype=np.uint64)
        self._ids = np.full(2**_BITS, -1, dtype=np.int32)
        self._lock = Lock()

    def look_up(self, keys: Keys) -> NDArray[np.int32]:
        """The id of each word, -1 for one that is not there."""
        slots = _slots(keys)
        # A slot is filled once, its id last: where an id is there, so is all of the key.
        ids = self._ids.take(slots)
        is_there = self._keys[0].take(slots) == keys[0]
        is_there &= self._keys[1].take(slots) == keys[1]
        ids[~is_there] = -1
        return ids

    def add(self, keys: Keys, ids: NDArray[np.int64]) -> None:
        """Adds words, which may come several times."""
        slots, first = np.unique(_slots(keys), return_index=True)
        with self._lock:
            is_free = (self._ids[slots] < 0) & (keys[0, first] != 0)
            slots, first = slots[is_free], first[is_free]
            self._keys[:, slots] = keys[:, first]
            self._ids[slots] = ids[first]


def _slots(keys: Keys) -> NDArray[np.int64]:
    mixed: NDArray[np.uint64] = np.bitwise_xor(*(keys * _FACTORS)) * _FACTORS[0]
    return (mixed >> np.uint64(64 - _BITS)).astype(np.int64)
