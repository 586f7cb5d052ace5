"""The network and the corpus that every framework trains, and the result of a training run.

Imports no framework, nor Gatewise: each of those is imported by the process that uses it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Recipe:
    """What all of them train: an embedding, one bidirectional layer, its last states, a layer.

    The learning rate stays the same over the run, and updates are AdamW's.
    """

    cell: Literal["gru", "lstm"]
    vocab_size: int
    classes: int
    embedding_size: int
    units: int
    dropout: float
    batch_size: int
    epochs: int
    learning_rate: float
    weight_decay: float
    seed: int


@dataclass(frozen=True)
class EncodedTexts:
    """Texts as token ids, with their labels."""

    ids: list[NDArray[np.int64]]  # of each text, `(tokens,)`
    targets: NDArray[np.int32]  # label ids, `(texts,)`

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, `(texts,)`."""
        return np.array([len(text) for text in self.ids])

    def texts(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Token ids of some texts."""
        return [self.ids[row] for row in rows.tolist()]

    def batches(self, size: int) -> list[NDArray[np.int64]]:
        """The rows of batches to test on, shortest texts first."""
        return _cut(np.argsort(self.lengths, kind="stable"), size)


@dataclass(frozen=True)
class TrainingRun:
    """What a training run gave."""

    seconds: list[float]  # of each epoch; in the first one functions are traced
    processor_seconds: list[float]
    accuracy: float  # on the test texts, after the last epoch
    parameters: int


@dataclass
class EpochTimer:
    """Times the epochs of a run."""

    seconds: list[float] = field(default_factory=list)
    processor_seconds: list[float] = field(default_factory=list)

    @contextmanager
    def epoch(self) -> Iterator[None]:
        """Times the block."""
        start, processor_start = time.perf_counter(), time.process_time()
        yield
        self.seconds.append(time.perf_counter() - start)
        self.processor_seconds.append(time.process_time() - processor_start)

    def run(self, accuracy: float, parameters: int) -> TrainingRun:
        """The run, once it has ended."""
        return TrainingRun(self.seconds, self.processor_seconds, accuracy, parameters)


Fit = Callable[[Recipe, EncodedTexts, EncodedTexts], TrainingRun]
"""Trains on the first texts and tests on the second ones."""


def _cut(rows: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [rows[first : first + size] for first in range(0, len(rows), size)]


def random_batches(texts: EncodedTexts, size: int, seed: int) -> list[NDArray[np.int64]]:
    """One epoch's batches of texts in random order."""
    return _cut(np.random.default_rng(seed).permutation(len(texts)), size)


def batches_by_length(texts: EncodedTexts, size: int, seed: int) -> list[NDArray[np.int64]]:
    """One epoch's batches of texts of similar length, as Gatewise makes them.

    Texts are shuffled, sorted by length in pools of fifty batches, cut, and the batches shuffled.
    """
    random = np.random.default_rng(seed)
    lengths = texts.lengths
    batches: list[NDArray[np.int64]] = []
    for pool in _cut(random.permutation(len(texts)), 50 * size):
        cut = _cut(pool[np.argsort(lengths[pool], kind="stable")], size)
        batches += [cut[number] for number in random.permutation(len(cut))]
    return batches
