"""Texts that occur more than once, within a part of the corpus and in several parts.

Counts the duplicates and decides which rows are removed; `exact_duplicates`, `near_duplicates` and
`minhash` find them. Memory grows by some tens of bytes a row: no text is kept.
"""

import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gatewise.training.data.exact_duplicates import ExactDuplicates, group
from gatewise.training.data.minhash import normalized, signatures
from gatewise.training.data.near_duplicates import (
    EXAMPLES,
    NearPair,
    NearTexts,
    SignatureFile,
    find,
)

Part = Literal["train", "validation", "test"]

PARTS: tuple[Part, ...] = ("train", "validation", "test")

Kind = Literal["exact", "conflict", "near", "near-conflict"]

Place = tuple[Part, int]
"""A row: its part, and its number in it from zero."""


@dataclass(frozen=True)
class Overlap:
    """How many rows of a part are duplicates of other rows.

    Attributes:
        exact: Rows with the same text, apart from case, white space and Unicode compatibility
            forms.
        near: Further rows with nearly the same text.
    """

    exact: int
    near: int


@dataclass(frozen=True)
class Example:
    """Two rows that are duplicates.

    Attributes:
        kind: `conflict` is an exact copy with another label or number, `near-conflict` a
            near-duplicate with another label.
        first: One row.
        second: The other row, of the same part or a later one.
        similarity: Estimated share of word n-grams that they have in common.
    """

    kind: Kind
    first: Place
    second: Place
    similarity: float


@dataclass(frozen=True, eq=False)
class Duplicates:
    """The duplicates of a corpus.

    Attributes:
        similarity: Similarity from which on texts are near-duplicates.
        rows: How many rows each part has.
        overlaps: For each pair of parts, how many rows of the first are also in the second; for a
            part and itself, how many repeat one of its earlier rows.
        conflicting: Rows that have an exact copy with another label or number; None without any.
        removed: The rows of each part that are removed on request, sorted: those of train that
            are in validation or test, those of validation that are in test, and within train all
            but the first. No row of test is removed, and none of validation for a copy within it.
        examples: A few pairs of each kind and of each pair of parts.
    """

    similarity: float
    rows: dict[Part, int]
    overlaps: dict[tuple[Part, Part], Overlap]
    conflicting: int | None
    removed: dict[Part, NDArray[np.int64]]
    examples: tuple[Example, ...]

    def as_dict(self) -> dict[str, object]:
        """The counts for `metrics.json`: rows of a part, by the part that has their duplicates."""
        found: dict[str, dict[str, dict[str, int]]] = {}
        for (part, other), overlap in self.overlaps.items():
            counts = {"exact": overlap.exact, "near": overlap.near}
            found.setdefault(part, {})[other] = counts
        return {
            "similarity": self.similarity,
            "found": found,
            "conflicting": self.conflicting,
            "removable": {part: len(self.removed[part]) for part in self.rows},
        }

    def summary(self) -> str:
        """The counts in one line."""
        lines = []
        for other, part in combinations_with_replacement(PARTS, 2):
            overlap = self.overlaps.get((part, other), Overlap(0, 0))
            if overlap.exact or overlap.near:
                where = "an earlier one" if part == other else f"a {other} row"
                lines.append(
                    f"{overlap.exact:,} of {self.rows[part]:,} {part} rows repeat {where} exactly, "
                    f"{overlap.near:,} nearly"
                )
        if self.conflicting:
            lines.append(f"{self.conflicting:,} rows have a copy with another label or number")
        return "; ".join(lines) or "no text occurs more than once"


class Finder:
    """Finds the duplicates of a corpus, which it takes window by window."""

    def __init__(
        self, similarity: float, scratch: Path | None = None, *, max_conflicts: int | None = None
    ) -> None:
        """Starts with no rows.

        Args:
            similarity: Share of common word n-grams from which on texts are near-duplicates; 1
                finds exact copies only.
            scratch: Folder for an unnamed file of 256 bytes a row; the system's own if None.
            max_conflicts: Up to how many examples of each kind of conflict are kept; None keeps a
                few of exact copies and looks for no near-duplicates with other labels.
        """
        self._max_conflicts = max_conflicts
        self._similarity = similarity
        self._signatures = SignatureFile(scratch) if similarity < 1 else None
        self._signed = array("b")
        self._texts = array("Q")
        self._labels = array("I")
        self._ends: dict[Part, int] = {}

    def add(self, part: Part, texts: Sequence[str], labels: Sequence[str] | None = None) -> None:
        """Adds rows: all of train first, then of validation, then of test.

        Args:
            part: The part that the rows belong to.
            texts: Their texts.
            labels: Their labels or numbers, a string each; in every call or in none.

        Raises:
            ValueError: If rows of a later part were added before.
        """
        if any(PARTS.index(seen) > PARTS.index(part) for seen in self._ends):
            raise ValueError(f"expected the parts in the order {PARTS}; received {part!r} late")
        forms = [normalized(text) for text in texts]
        # Eight bytes: among ten million texts, two get the same by chance once in 300,000 corpora.
        self._texts.frombytes(b"".join(_digest(form) for form in forms))
        if labels is not None:
            self._labels.extend([zlib.crc32(_bytes(label)) for label in labels])
        if self._signatures is not None:
            signed, found = signatures(forms)
            self._signatures.append(found)
            self._signed.frombytes(signed.tobytes())
        self._ends[part] = len(self._texts)

    def found(self) -> Duplicates:
        """The duplicates of all rows added; to be called once."""
        ends = [self._ends.get(part, 0) for part in PARTS]
        ends = [max(ends[: number + 1]) for number in range(len(PARTS))]
        copies = group(np.frombuffer(self._texts, dtype=np.uint64), ends)
        self._texts = array("Q")  # its memory is needed for the rest
        labels = np.frombuffer(self._labels, dtype=np.uint32) if self._labels else None
        near = self._near_texts(copies, labels if self._max_conflicts else None)
        counted = _Counted(copies, near)
        conflicting: int | None = None
        disputed: list[tuple[int, int]] = []
        if labels is not None:
            conflicting, disputed = copies.conflicts(labels, self._max_conflicts or EXAMPLES)
        firsts = np.flatnonzero(copies.leading).tolist()
        parts = [part for part in PARTS if part in self._ends]
        return Duplicates(
            similarity=self._similarity,
            rows={part: len(counted.texts(part)) for part in parts},
            overlaps={
                (part, other): counted.overlap(part, other) for part in parts for other in parts
            },
            conflicting=conflicting,
            removed={part: np.flatnonzero(counted.superfluous(part)) for part in PARTS},
            examples=(
                *(counted.example("conflict", first, second) for first, second in disputed),
                *(
                    counted.example(
                        "near-conflict", firsts[pair.first], firsts[pair.second], pair.similarity
                    )
                    for pair in near.conflicts[: self._max_conflicts]
                ),
                *counted.examples(),
            ),
        )

    def _near_texts(self, copies: ExactDuplicates, labels: NDArray[np.uint32] | None) -> NearTexts:
        """The texts that have near-duplicates, among all texts.

        Args:
            copies: The exact copies.
            labels: A hash of each row's label, `(rows,)`; None looks for no conflicts.
        """
        near = np.zeros(len(copies.parts), dtype=np.uint8)
        earlier = np.zeros(len(copies.parts), dtype=np.uint8)
        if self._signatures is None:
            return NearTexts(near, earlier, {})
        signed = np.frombuffer(self._signed, dtype=np.bool_)
        # One row of each text: ten thousand copies of it would all be similar.
        rows = signed & copies.leading
        texts = copies.text_of[rows]
        try:
            found = find(
                self._signatures,
                copies.leading[signed],
                copies.parts[texts],
                self._similarity,
                None if labels is None else labels[rows],
            )
        finally:
            self._signatures.close()
        near[texts], earlier[texts] = found.near, found.earlier

        def among_all(pairs: Sequence[NearPair]) -> list[NearPair]:
            return [
                replace(pair, first=int(texts[pair.first]), second=int(texts[pair.second]))
                for pair in pairs
            ]

        examples = {parts: among_all(pairs) for parts, pairs in found.examples.items()}
        return NearTexts(near, earlier, examples, tuple(among_all(found.conflicts)))


@dataclass(frozen=True, eq=False)
class _Counted:
    """Counts the duplicates as rows of parts."""

    copies: ExactDuplicates
    near: NearTexts

    def texts(self, part: Part) -> NDArray[np.int32]:
        return self.copies.text_of[self.copies.ranges[PARTS.index(part)]]

    def overlap(self, part: Part, other: Part) -> Overlap:
        exact = self.copies.found_in(PARTS.index(part), PARTS.index(other))
        near = self._near(part, other) & ~exact
        return Overlap(int(np.count_nonzero(exact)), int(np.count_nonzero(near)))

    def superfluous(self, part: Part) -> NDArray[np.bool_]:
        """Which rows of a part are removed on request."""
        number = PARTS.index(part)
        found = np.zeros(len(self.texts(part)), dtype=np.bool_)
        for other in PARTS[number if part == "train" else number + 1 :]:
            found |= self.copies.found_in(number, PARTS.index(other)) | self._near(part, other)
        return found

    def examples(self) -> Iterator[Example]:
        for part, other in combinations_with_replacement(range(len(PARTS)), 2):
            for first, second in self.copies.pairs(part, other, EXAMPLES):
                yield self.example("exact", first, second)
            for pair in self.near.examples.get((part, other), ()):
                yield self.example(
                    "near",
                    self.copies.row_of(pair.first, part),
                    self.copies.row_of(pair.second, other),
                    pair.similarity,
                )

    def example(self, kind: Kind, first: int, second: int, similarity: float = 1.0) -> Example:
        one, two = sorted((first, second))
        return Example(kind, self._place(one), self._place(two), similarity)

    def _near(self, part: Part, other: Part) -> NDArray[np.bool_]:
        kept = self.near.earlier if part == other else self.near.near
        return kept[self.texts(part)] & (1 << PARTS.index(other)) != 0

    def _place(self, row: int) -> Place:
        for part, rows in zip(PARTS, self.copies.ranges, strict=True):
            if row < rows.stop:
                return part, row - rows.start
        raise IndexError(row)


def _digest(text: str) -> bytes:
    return blake2b(_bytes(text), digest_size=8).digest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
