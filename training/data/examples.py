"""Encoded texts with their targets, on disk: what a network is trained and validated on.

Sequences of numbers are stored likewise, the vectors of their steps in place of token ids.

Three flat files: the token ids of one text after another, the end of each text, and the targets.
A batch reads only its own rows, so memory does not grow with the corpus. If a model reads several
windows of a text, whole texts are stored, and each window is an example of its own.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatewise.vocab.tokenizer.encoding import Ids, num_windows, window_lengths
from gatewise.vocab.tokenizer.tokenizer import CLS_ID

NO_LABEL = -1
"""Label id of a row out of scope among rows whose target is a label id."""

_WINDOW = 4096
"""Texts read at a time."""

Targets = NDArray[np.int32] | NDArray[np.float32]
"""A label id for each text, int32 `(texts,)`; or each label's share, or in a regression the
standardized number, float32 `(texts, labels)`."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Encoded texts with their targets, on disk.

    Attributes:
        folder: Where the files are.
        count: Number of texts.
        tokens: Tokens of all texts.
        longest: Tokens of the longest text.
        classes: Width of a row of targets; 0 if a target is a label id.
        features: Numbers of a step of a sequence; 0 for texts.
        chosen: The numbers of these texts in the files, `(count,)`; None if they are all of them.
        given_weights: The weight of each text in the files, float64; None for 1 each.
    """

    folder: Path
    count: int
    tokens: int
    longest: int
    classes: int
    features: int = 0
    chosen: NDArray[np.int64] | None = None
    given_weights: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return self.count

    def lengths(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens of some texts, int64 `(rows,)`."""
        starts, ends = self._bounds(rows)
        return ends - starts

    def ids(self, rows: NDArray[np.int64]) -> list[Ids]:
        """Token ids of some texts."""
        starts, ends = self._bounds(rows)
        ids, wide = self._map("ids", np.int32), "int64"
        if self.features:
            ids, wide = self._map("ids", np.float32).reshape(-1, self.features), "float32"
        return [
            ids[start:end].astype(wide)
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        ]

    def targets(self, rows: NDArray[np.int64]) -> Targets:
        """Targets of some texts, see `Targets`."""
        rows = self._in_files(rows)
        if not self.classes:
            labels: NDArray[np.int32] = self._map("targets", np.int32)[rows]
            return labels
        shares: NDArray[np.float32] = self._map("targets", np.float32).reshape(-1, self.classes)[
            rows
        ]
        return shares

    def weights(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The weight of some examples in the loss, float32 `(rows,)`; their mean over all is 1."""
        if self.given_weights is None:
            return np.ones(len(rows), dtype=np.float32)
        return self._scaled_weights[self._in_files(rows)]

    def windows(self, max_length: int) -> "Examples":
        """The windows of the texts as examples; the texts themselves if each is one window.

        Args:
            max_length: Tokens of a window, `[CLS]` included.
        """
        return self if self.longest <= max_length else Windows.of(self, max_length)

    def only(self, kept: NDArray[np.bool_]) -> "Examples":
        """Some of the texts.

        Args:
            kept: Which, `(count,)`.
        """
        if kept.all():
            return self
        rows = np.flatnonzero(kept)
        lengths = self.lengths(rows)
        return replace(
            self,
            count=len(rows),
            tokens=int(lengths.sum()),
            longest=int(lengths.max(initial=0)),
            chosen=self._in_files(rows),
        )

    @cached_property
    def _scaled_weights(self) -> NDArray[np.float32]:
        # As 64-bit floats the mean of equal weights is exact, and they are 1 each.
        given = np.asarray(self.given_weights)
        # Never zero: a label whose rows all weigh nothing could not be fitted.
        smallest = np.finfo(np.float32).tiny
        return (given / given.mean()).astype(np.float32).clip(min=smallest)

    def _in_files(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return rows if self.chosen is None else self.chosen[rows]

    def _bounds(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        rows = self._in_files(rows)
        ends: NDArray[np.int64] = self._map("ends", np.int64)
        return np.where(rows > 0, ends[rows - 1], 0), ends[rows]

    def _map(self, name: str, dtype: type) -> NDArray[Any]:
        # Mapped anew each time: pages of a file mapped for long would add up to its size.
        return np.asarray(np.memmap(self.folder / name, dtype=dtype, mode="r"))


@dataclass(frozen=True, eq=False)
class Windows(Examples):
    """Windows of texts, each with the targets of its text.

    The weights of a text's windows add up to the same for every text, so that a long text does not
    count more than a short one.

    Attributes:
        texts: The texts.
        counts: The number of windows of each text.
        text_numbers: The text of each window, ascending, `(count,)`.
        window_lengths: The tokens of each window, `[CLS]` included, `(count,)`.
        skipped: The tokens of its text before each window, `[CLS]` not included, `(count,)`.
    """

    texts: Examples = field(kw_only=True)
    counts: NDArray[np.int64] = field(kw_only=True)
    text_numbers: NDArray[np.int64] = field(kw_only=True)
    window_lengths: NDArray[np.int64] = field(kw_only=True)
    skipped: NDArray[np.int64] = field(kw_only=True)

    @classmethod
    def of(cls, texts: Examples, max_length: int) -> "Windows":
        """All windows of the texts; see `Examples.windows`."""
        lengths = texts.lengths(np.arange(len(texts)))
        counts = num_windows(lengths, max_length)
        each = window_lengths(lengths, counts)
        # Before a window are the tokens of all windows before it, less those of earlier texts.
        before = (each - 1).cumsum() - (each - 1)
        return cls(
            folder=texts.folder,
            count=len(each),
            tokens=int(each.sum()),
            longest=int(each.max()),
            classes=texts.classes,
            texts=texts,
            counts=counts,
            text_numbers=np.repeat(np.arange(len(texts)), counts),
            window_lengths=each,
            skipped=before - np.repeat((lengths - 1).cumsum() - (lengths - 1), counts),
        )

    def windows_of(self, texts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of all windows of some texts, one text after another."""
        counts = self.counts[texts]
        firsts = (self.counts.cumsum() - self.counts)[texts]
        numbers = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
        return np.repeat(firsts, counts) + numbers

    def lengths(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens of some windows, int64 `(rows,)`."""
        return self.window_lengths[rows]

    def ids(self, rows: NDArray[np.int64]) -> list[Ids]:
        """Token ids of some windows."""
        windows = []
        ends = (self.skipped[rows] + self.window_lengths[rows]).tolist()
        starts = self.skipped[rows].tolist()
        texts = self.texts.ids(self.text_numbers[rows])
        for ids, start, end in zip(texts, starts, ends, strict=True):
            window = ids[start:end].copy()
            window[0] = CLS_ID  # in place of the last token of the window before
            windows.append(window)
        return windows

    def targets(self, rows: NDArray[np.int64]) -> Targets:
        """Targets of the texts of some windows, see `Targets`."""
        return self.texts.targets(self.text_numbers[rows])

    def weights(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The weight of some windows in the loss, float32 `(rows,)`; their mean over all is 1."""
        texts = self.text_numbers[rows]
        windows_per_text = self.count / len(self.texts)
        shares = np.asarray(windows_per_text / self.counts[texts], np.float32)
        return shares * self.texts.weights(texts)


def store(windows: Iterable[tuple[Sequence[Ids], Targets]], folder: Path) -> Examples:
    """Writes encoded texts and their targets to disk.

    Args:
        windows: Token ids of some texts, none of them empty, and their targets, in a stream.
        folder: Folder for the files; it is made, and files of an earlier call are replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = tokens = longest = classes = features = 0
    with (
        (folder / "ids").open("wb") as id_file,
        (folder / "ends").open("wb") as end_file,
        (folder / "targets").open("wb") as target_file,
    ):
        for texts, targets in windows:
            if not len(texts):
                continue
            lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
            ids = np.concatenate(texts)
            features = ids.shape[1] if ids.ndim == 2 else 0
            id_file.write(ids.astype(np.float32 if features else np.int32).tobytes())
            end_file.write((tokens + np.cumsum(lengths)).tobytes())
            target_file.write(np.ascontiguousarray(targets).tobytes())
            count += len(texts)
            tokens += int(lengths.sum())
            longest = max(longest, int(lengths.max()))
            classes = targets.shape[1] if targets.ndim == 2 else 0
    return Examples(folder, count, tokens, longest, classes, features)


def concatenate(parts: Sequence[Examples], folder: Path) -> Examples:
    """Writes the texts of several parts to disk, one part after another.

    Args:
        parts: The parts, each with all texts of its files; their targets have the same width.
        folder: See `store`.
    """

    def windows() -> Iterator[tuple[list[Ids], Targets]]:
        for part in parts:
            for start in range(0, len(part), _WINDOW):
                rows = np.arange(start, min(start + _WINDOW, len(part)))
                yield part.ids(rows), part.targets(rows)

    weights = [
        np.ones(len(part)) if part.given_weights is None else part.given_weights for part in parts
    ]
    return replace(store(windows(), folder), given_weights=np.concatenate(weights))
