"""The corpora of a run, read and split: rows to learn from, to choose by, and to report on.

Does not import TensorFlow, so that a corpus that cannot be used is told of at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.config import Config
from vocab.bad_rows import BadRows
from vocab.corpus import Row, read_rows
from vocab.errors import CorpusError
from vocab.labels import Labels


@dataclass(frozen=True)
class Corpora:
    """The corpora of a run.

    Attributes:
        train: Rows to learn from.
        validation: Rows to choose by; if None, a share of the training rows is set aside.
        test: Rows that nothing is chosen by; if None, there is no test report.
    """

    train: Path
    validation: Path | None = None
    test: Path | None = None


@dataclass(frozen=True)
class Rows:
    """The rows of a run.

    Attributes:
        train: To learn from.
        validation: To choose by.
        test: To report on; empty if no test corpus was given.
    """

    train: list[Row]
    validation: list[Row]
    test: list[Row]


def read(corpora: Corpora, config: Config, bad_rows: BadRows) -> Rows:
    """Reads the corpora of a run, and sets validation rows aside if none are given.

    Raises:
        CorpusError: If a corpus cannot be read, or holds fewer than two labels to learn.
        BadRowsError: If a row is bad, such as one whose label training never saw, and the policy
            is to stop there.
    """

    def rows(path: Path, known_labels: frozenset[str] | None = None) -> list[Row]:
        stream = read_rows(
            path,
            bad_rows=bad_rows,
            text_column=config.corpus.text_column,
            label_column=config.corpus.label_column or "label",
            known_labels=known_labels,
        )
        return list(stream)

    learnt = rows(corpora.train)
    known = frozenset(row.label for row in learnt)
    try:
        Labels.of(known)  # told at once, not after the other corpora were read
    except CorpusError as error:
        raise CorpusError(f"{corpora.train}: {error}") from None
    if corpora.validation:
        validation = rows(corpora.validation, known)
    else:
        keep, aside = split(
            [row.label for row in learnt], config.corpus.validation_share, config.training.seed
        )
        learnt, validation = [learnt[row] for row in keep], [learnt[row] for row in aside]
        if not validation:
            raise CorpusError(
                f"{corpora.train}: expected labels with two rows or more, one of which can be set "
                "aside for validation; received one row of each: give --validation FILE"
            )
    return Rows(learnt, validation, rows(corpora.test, known) if corpora.test else [])


def split(labels: Sequence[str], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Sets a share of each label's rows aside, so that both sides hold the labels alike.

    A label with a single row keeps it for training; every other label gives at least one row.

    Args:
        labels: The label of each row.
        share: Share of rows to set aside, between 0 and 1.
        seed: Seed of the choice.

    Returns:
        The rows kept and the rows set aside, each in ascending order.
    """
    generator = np.random.default_rng(seed)
    rows_of: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        rows_of.setdefault(label, []).append(row)
    aside: list[int] = []
    for _, rows in sorted(rows_of.items()):
        count = min(len(rows) - 1, max(1, round(share * len(rows))))
        aside.extend(generator.permutation(rows)[:count].tolist())
    chosen = set(aside)
    return [row for row in range(len(labels)) if row not in chosen], sorted(aside)
