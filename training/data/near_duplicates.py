"""Pairs of texts with similar signatures, found without comparing all pairs.

Locality-sensitive hashing (Indyk and Motwani 1998; with MinHash: Leskovec, Rajaraman and Ullman,
"Mining of Massive Datasets", chapter 3): signatures are cut into bands, texts that agree in a whole
band are candidates, and a candidate counts once the whole signatures agree. The signatures are on
disk; memory holds what one band needs.
"""

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gatewise.training.data.minhash import LANES

PARTS = 3
"""Number of parts; a set of parts is a number with a bit for each."""

EXAMPLES = 5
"""Pairs kept as examples, for each pair of parts."""

_BLOCK = 1 << 16
"""Signatures of a block of the file."""

_NEIGHBOURS = 4
"""Texts before it in its bucket that a text is compared with, besides the first of each part."""

_CHUNK = 1 << 20
"""Places of buckets compared together."""

_PENDING = 1 << 21
"""Candidates that wait to be compared, at most: a comparison reads the whole file."""

_MULTIPLIER = np.uint64(0xC2B2AE3D27D4EB4F)  # a large odd number with no pattern: a prime of xxHash


class SignatureFile:
    """Signatures on disk, stored so that one number of all texts can be read at once.

    The file has no name, so that nothing is left of it however the process ends.
    """

    def __init__(self, folder: Path | None) -> None:
        # Open until `close`.
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._block = np.empty((LANES, _BLOCK), dtype=np.uint16)
        self._filled = 0
        self._written = 0

    def __len__(self) -> int:
        return self._written + self._filled

    def append(self, signatures: NDArray[np.uint16]) -> None:
        """Adds signatures, `(texts, LANES)`."""
        while len(signatures):
            some = signatures[: _BLOCK - self._filled]
            self._block[:, self._filled : self._filled + len(some)] = some.T
            self._filled += len(some)
            signatures = signatures[len(some) :]
            if self._filled == _BLOCK:
                self._file.write(self._block.data)
                self._written += _BLOCK
                self._filled = 0

    def lane(self, number: int) -> NDArray[np.uint16]:
        """One number of each signature, `(texts,)`."""
        values = np.empty(len(self), dtype=np.uint16)
        self._file.flush()
        for start in range(0, self._written, _BLOCK):
            self._file.seek((start * LANES + number * _BLOCK) * values.itemsize)
            self._file.readinto(values[start : start + _BLOCK].data)
        values[self._written :] = self._block[number, : self._filled]
        self._file.seek(0, 2)
        return values

    def close(self) -> None:
        """Deletes the file."""
        self._file.close()


@dataclass(frozen=True)
class NearPair:
    """Two texts that are nearly the same.

    Attributes:
        similarity: Their estimated similarity.
        first: Number of the text that occurs in the first of two parts.
        second: Number of the text that occurs in the second of them.
    """

    similarity: float
    first: int
    second: int


@dataclass(frozen=True)
class NearTexts:
    """The texts that have near-duplicates.

    Attributes:
        near: In which parts each text has near-duplicates, `(texts,)`.
        earlier: In which of its own parts each text has one with a lower number, `(texts,)`.
        examples: The most similar pairs of each pair of parts, by the numbers of the parts.
        conflicts: The pairs with different labels, the most similar first; none without labels.
    """

    near: NDArray[np.uint8]
    earlier: NDArray[np.uint8]
    examples: dict[tuple[int, int], list[NearPair]]
    conflicts: tuple[NearPair, ...] = ()


def find(
    signatures: SignatureFile,
    chosen: NDArray[np.bool_],
    parts: NDArray[np.uint8],
    similarity: float,
    labels: NDArray[np.uint32] | None = None,
) -> NearTexts:
    """Finds the texts that have near-duplicates.

    In a bucket of many texts each is compared with a few only, so that the work grows with the
    number of texts and not with its square; of a text with several near-duplicates, some may be
    missed.

    Args:
        signatures: Signatures of texts.
        chosen: Which of them to compare, `(signatures,)`; these texts are numbered from zero.
        parts: In which parts each of these texts occurs, `(texts,)`.
        similarity: Estimated similarity from which on two texts are near-duplicates.
        labels: A hash of each text's label, `(texts,)`, by which conflicts are found.
    """
    search = _Search(signatures, chosen, parts, math.ceil(similarity * LANES - 1e-9), labels)
    width = band_width(similarity)
    for start in range(0, LANES - width + 1, width):
        search.add_band(start, width)
    search.compare()
    conflicts = (NearPair(share, *pair) for pair, share in search.conflicts.items())
    ranked = sorted(conflicts, key=lambda pair: (-pair.similarity, pair.first, pair.second))
    return NearTexts(search.near, search.earlier, search.examples, tuple(ranked))


def band_width(similarity: float) -> int:
    """The widest band by which at least 99 of 100 pairs with this similarity become candidates.

    Example:
        >>> band_width(0.8)
        6
    """
    for width in range(8, 1, -1):
        if 1 - (1 - similarity**width) ** (LANES // width) >= 0.99:
            return width
    return 1


@dataclass
class _Search:
    """A search in progress: what was found so far, and the candidates to be compared."""

    signatures: SignatureFile
    chosen: NDArray[np.bool_]
    parts: NDArray[np.uint8]
    needed: int
    labels: NDArray[np.uint32] | None = None
    near: NDArray[np.uint8] = field(init=False)
    earlier: NDArray[np.uint8] = field(init=False)
    examples: dict[tuple[int, int], list[NearPair]] = field(default_factory=dict)
    conflicts: dict[tuple[int, int], float] = field(default_factory=dict)
    pending: list[NDArray[np.int64]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.near = np.zeros(len(self.parts), dtype=np.uint8)
        self.earlier = np.zeros(len(self.parts), dtype=np.uint8)

    def add_band(self, start: int, width: int) -> None:
        """Adds the candidates of the band that starts at a number of the signature."""
        texts, opens = self._buckets(start, width)
        for partner in _partners(opens, self.parts[texts]):
            for low in range(0, len(texts), _CHUNK):
                others = partner[low : low + _CHUNK]
                places = np.arange(low, low + len(others), dtype=np.int32)
                paired = (others >= 0) & (others != places)
                places, others = places[paired], others[paired]
                self._add(texts[np.minimum(places, others)], texts[np.maximum(places, others)])

    def compare(self) -> None:
        """Compares the whole signatures of the candidates."""
        pairs = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *self.pending]))
        self.pending.clear()
        first, second = np.divmod(pairs, max(len(self.parts), 1))
        equal = np.zeros(len(pairs), dtype=np.uint8)
        for lane in range(LANES):
            if not len(equal):
                return
            values = self._lane(lane)
            equal += values[first] == values[second]
            if lane % 16 == 15:
                # Only those that can still reach it if all remaining numbers agree.
                able = equal + (LANES - 1 - lane) >= self.needed
                first, second, equal = first[able], second[able], equal[able]
        held, others = self.parts[first], self.parts[second]
        np.bitwise_or.at(self.near, first, others)
        np.bitwise_or.at(self.near, second, held)
        np.bitwise_or.at(self.earlier, second, held & others)
        self._keep_examples(first, second, equal)
        differing = self._have_different_labels(first, second)
        found = zip(first[differing].tolist(), second[differing].tolist(), strict=True)
        self.conflicts.update(zip(found, (equal[differing] / LANES).tolist(), strict=True))

    def _have_different_labels(
        self, first: NDArray[np.integer], second: NDArray[np.integer]
    ) -> NDArray[np.bool_]:
        if self.labels is None:
            return np.zeros(len(first), dtype=np.bool_)
        return np.asarray(self.labels[first] != self.labels[second])

    def _lane(self, number: int) -> NDArray[np.uint16]:
        return self.signatures.lane(number)[self.chosen]

    def _buckets(self, start: int, width: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """The texts that share their band with others, by bucket, and where each bucket begins."""
        keys = np.zeros(len(self.parts), dtype=np.uint64)
        for lane in range(start, start + width):
            keys *= _MULTIPLIER
            keys += self._lane(lane)
        # Stable, so that the texts of a bucket are in the same order on every machine.
        order = np.argsort(keys, kind="stable").astype(np.int32)
        keys = keys[order]
        opens = np.ones(len(keys) + 1, dtype=np.bool_)
        opens[1:-1] = keys[1:] != keys[:-1]
        shared = ~(opens[:-1] & opens[1:])
        return order[shared], opens[:-1][shared]

    def _add(self, first: NDArray[np.int32], second: NDArray[np.int32]) -> None:
        held, others = self.parts[first], self.parts[second]
        new = others & ~self.near[first]
        new |= held & ~self.near[second]
        new |= held & others & ~self.earlier[second]
        is_new = (new != 0) | self._have_different_labels(first, second)
        self.pending.append(first[is_new].astype(np.int64) * len(self.parts) + second[is_new])
        # Reading the file pays once there are as many candidates as texts.
        limit = min(_PENDING, len(self.parts))
        if sum(map(len, self.pending)) > limit:
            self.pending[:] = [np.unique(np.concatenate(self.pending))]
            if len(self.pending[0]) > limit // 2:
                self.compare()

    def _keep_examples(
        self, first: NDArray[np.int64], second: NDArray[np.int64], equal: NDArray[np.uint8]
    ) -> None:
        ranked = np.lexsort((second, first, -equal.astype(np.int16)))
        first, second, equal = first[ranked], second[ranked], equal[ranked]
        for part, other in combinations_with_replacement(range(PARTS), 2):
            kept = list(self.examples.get((part, other), ()))
            for one, two in {(part, other), (other, part)}:
                fits = (self.parts[first] >> one) & (self.parts[second] >> two) & 1
                for place in np.flatnonzero(fits)[:EXAMPLES]:
                    texts = int(first[place]), int(second[place])
                    kept.append(
                        NearPair(
                            float(equal[place]) / LANES, *(texts if one == part else texts[::-1])
                        )
                    )
            kept.sort(key=lambda pair: (-pair.similarity, pair.first, pair.second))
            self.examples[part, other] = kept[:EXAMPLES]


def _partners(opens: NDArray[np.bool_], parts: NDArray[np.uint8]) -> Iterator[NDArray[np.int32]]:
    """The place that each place of the buckets is compared with, one array a way to choose it.

    Args:
        opens: Which places begin a bucket, `(places,)`.
        parts: In which parts the text at each place occurs, `(places,)`.

    Returns:
        A place for each place, `(places,)`; negative or the place itself where there is none.
    """
    if not len(opens):
        return
    starts = np.flatnonzero(opens)
    sizes = np.diff(starts, append=len(opens))
    places = np.arange(len(opens), dtype=np.int32)
    start_of = np.repeat(starts.astype(np.int32), sizes)
    for distance in range(1, _NEIGHBOURS + 1):
        before = places - np.int32(distance)
        yield np.where(before >= start_of, before, np.int32(-1))
    none = np.int32(len(opens))
    for part in range(PARTS):
        holding = np.where(parts & (1 << part), places, none)
        leading = np.minimum.reduceat(holding, starts)
        yield np.repeat(np.where(leading < none, leading, np.int32(-1)), sizes)
