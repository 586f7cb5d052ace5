"""One network and one corpus for every framework, and what came of a training run.

Imports no framework, nor Gatewise: each of those is imported by the process that uses it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

_PARTS = ("train", "test")


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

    ids: NDArray[np.int32]  # of all texts one after the other, `(tokens,)`
    splits: NDArray[np.int64]  # where each begins, and where the last one ends, `(texts + 1,)`
    targets: NDArray[np.int32]  # label ids, `(texts,)`

    def __len__(self) -> int:
        return len(self.targets)

    def text(self, number: int) -> NDArray[np.int32]:
        """Token ids of one text."""
        return self.ids[self.splits[number] : self.splits[number + 1]]


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


def write(folder: Path, parts: dict[str, EncodedTexts]) -> None:
    """Keeps the texts, `train` and `test`."""
    for part in _PARTS:
        np.savez(folder / f"{part}.npz", **vars(parts[part]))


def read(folder: Path) -> dict[str, EncodedTexts]:
    """See `write`."""
    parts = {}
    for part in _PARTS:
        with np.load(folder / f"{part}.npz") as arrays:
            parts[part] = EncodedTexts(arrays["ids"], arrays["splits"], arrays["targets"])
    return parts


def batches_by_length(texts: EncodedTexts, size: int, seed: int) -> list[NDArray[np.int64]]:
    """One epoch's batches of texts of similar length, as Gatewise makes them.

    Texts are shuffled, sorted by length in pools of fifty batches, cut, and the batches shuffled.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(texts))
    lengths = np.diff(texts.splits)
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(order), 50 * size):
        pool = order[start : start + 50 * size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        cut = [pool[first : first + size] for first in range(0, len(pool), size)]
        batches += [cut[number] for number in random.permutation(len(cut))]
    return batches
