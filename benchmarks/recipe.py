"""One network and one corpus for every framework: what is trained, and what came of it.

Owns the files through which the process that prepares the corpus and the one that trains find each
other. Imports no framework, nor Gatewise: each of those is imported by the process that uses it.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

_PARTS = ("train", "test")


@dataclass(frozen=True)
class Recipe:
    """What all of them train: an embedding, one layer read both ways, its last states, a layer.

    Attributes:
        cell: The recurrent cell.
        vocab_size: Tokens in the dictionary.
        classes: Number of labels.
        embedding_size: Width of a token's vector.
        units: Units of the recurrent layer in each direction.
        dropout: Share of the last states dropped while training.
        batch_size: Texts of one update.
        epochs: Passes over the training texts.
        rate: The learning rate, the same at every update.
        weight_decay: Of AdamW.
        seed: Of first weights, order and dropout.
    """

    cell: Literal["gru", "lstm"]
    vocab_size: int
    classes: int
    embedding_size: int
    units: int
    dropout: float
    batch_size: int
    epochs: int
    rate: float
    weight_decay: float
    seed: int


@dataclass(frozen=True)
class Encoded:
    """Texts as token ids, with their labels.

    Attributes:
        ids: Ids of all texts one after the other, int32 `(tokens,)`.
        splits: Where each text begins, and where the last one ends, int64 `(texts + 1,)`.
        targets: Label ids, int32 `(texts,)`.
    """

    ids: NDArray[np.int32]
    splits: NDArray[np.int64]
    targets: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.targets)

    def text(self, number: int) -> NDArray[np.int32]:
        """Token ids of one text."""
        return self.ids[self.splits[number] : self.splits[number + 1]]


@dataclass(frozen=True)
class Trained:
    """What one training run gave.

    Attributes:
        seconds: Of each epoch, by the clock; the first one holds the tracing of functions.
        processor_seconds: The same by the processor, its cores added up.
        accuracy: Share of the test texts whose label was right, after the last epoch.
        parameters: Numbers in the network.
    """

    seconds: tuple[float, ...]
    processor_seconds: tuple[float, ...]
    accuracy: float
    parameters: int

    def as_json(self) -> str:
        """The run as a line that `read_trained` reads."""
        return json.dumps(asdict(self))


def read_trained(line: str) -> Trained:
    """See `Trained.as_json`."""
    values: dict[str, Any] = json.loads(line)
    return Trained(
        tuple(values["seconds"]),
        tuple(values["processor_seconds"]),
        values["accuracy"],
        values["parameters"],
    )


@dataclass
class Epochs:
    """A watch on the epochs of a run."""

    seconds: list[float] = field(default_factory=list)
    processor_seconds: list[float] = field(default_factory=list)

    @contextmanager
    def epoch(self) -> Iterator[None]:
        """Notes how long the block took."""
        began, began_processor = time.perf_counter(), time.process_time()
        yield
        self.seconds.append(time.perf_counter() - began)
        self.processor_seconds.append(time.process_time() - began_processor)

    def trained(self, accuracy: float, parameters: int) -> Trained:
        """The run, now that it has ended."""
        return Trained(tuple(self.seconds), tuple(self.processor_seconds), accuracy, parameters)


Fit = Callable[[Recipe, Encoded, Encoded], Trained]
"""Trains on the first texts and answers the second ones."""


def write(folder: Path, parts: dict[str, Encoded]) -> None:
    """Keeps the texts, `train` and `test`."""
    for part in _PARTS:
        np.savez(folder / f"{part}.npz", **vars(parts[part]))


def read(folder: Path) -> dict[str, Encoded]:
    """See `write`."""
    parts = {}
    for part in _PARTS:
        with np.load(folder / f"{part}.npz") as arrays:
            parts[part] = Encoded(arrays["ids"], arrays["splits"], arrays["targets"])
    return parts


def batches_by_length(texts: Encoded, size: int, seed: int) -> list[NDArray[np.int64]]:
    """One epoch's batches of texts of like length, as `gatewise.training.fit.dataset` makes them.

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
