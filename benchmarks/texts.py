"""The raw texts of a set, cut to a size that ends in time, and the same as Gatewise encodes them.

Knows corpora; no framework.
"""

import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gatewise.training.config.config import Config
from gatewise.training.data import corpora as reading
from gatewise.training.data.corpora import Corpora
from gatewise.training.data.examples import Examples
from gatewise.training.pipeline import prepare
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.errors import GatewiseError
from recipe import Encoded

_WINDOW = 65_536


@dataclass(frozen=True)
class Texts:
    """A set.

    Attributes:
        corpora: Its files, cut.
        train: Texts and labels to learn from.
        test: Texts and labels to count right answers on.
    """

    corpora: Corpora
    train: Sequence[tuple[str, str]]
    test: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Prepared:
    """A set as token ids.

    Attributes:
        parts: `train` and `test`.
        vocab_size: Tokens in the dictionary.
        classes: Number of labels.
        tokens: Mean tokens of a training text.
    """

    parts: dict[str, Encoded]
    vocab_size: int
    classes: int
    tokens: float


def read(folder: Path, rows: int | None, scratch: Path) -> Texts:
    """Reads `train.csv` and `test.csv`, or `.csv.gz`, of a set.

    Args:
        folder: The set.
        rows: Most rows of each file; which ones are kept is drawn, the same ones each time.
        scratch: Folder for the files that are cut.

    Raises:
        GatewiseError: If a file is missing.
    """
    parts, paths = [], []
    for name in ("train", "test"):
        found = (folder / f"{name}.csv", folder / f"{name}.csv.gz")
        path = next((path for path in found if path.is_file()), None)
        if path is None:
            raise GatewiseError(f"expected {found[0]} or {found[1].name}: there is neither")
        kept = _rows(path)
        if rows is not None and len(kept) > rows:
            drawn = np.random.default_rng(1).permutation(len(kept))[:rows]
            kept = [kept[row] for row in sorted(drawn.tolist())]
        cut = scratch / f"{name}.csv"
        with cut.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *kept])
        parts.append(kept)
        paths.append(cut)
    return Texts(Corpora(paths[0], test=paths[1]), *parts)


def encode(texts: Texts, config: Config, scratch: Path) -> Prepared:
    """Builds the dictionary and encodes both parts, as `gatewise train` does.

    The test texts stand in the place of the validation texts, by which nothing is chosen here, so
    that every training text is learnt from.

    Args:
        texts: The set.
        config: Settings of dictionary and network.
        scratch: Folder for what is kept on disk meanwhile.
    """
    corpora = Corpora(texts.corpora.train, validation=texts.corpora.test)
    stop = StopAtBadRows()
    prepared = prepare(reading.read(corpora, config, stop, scratch), config, stop, scratch)
    train = _encoded(prepared.corpus.train)
    return Prepared(
        parts={"train": train, "test": _encoded(prepared.corpus.validation.examples)},
        vocab_size=prepared.blueprint.shape.vocab_size,
        classes=prepared.blueprint.shape.classes,
        tokens=len(train.ids) / len(train),
    )


def _rows(path: Path) -> list[tuple[str, str]]:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


def _encoded(examples: Examples) -> Encoded:
    ids, targets = [], []
    for start in range(0, len(examples), _WINDOW):
        rows = np.arange(start, min(start + _WINDOW, len(examples)))
        ids += examples.ids(rows)
        targets.append(examples.targets(rows))
    splits = np.concatenate([[0], np.cumsum([len(text) for text in ids])])
    return Encoded(
        np.concatenate(ids).astype(np.int32),
        splits.astype(np.int64),
        np.concatenate(targets).astype(np.int32),
    )
