"""Draws from a corpus: so many rows a label to train on, and all its test rows."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.lib.command import BenchmarkError
from benchmarks.lib.corpora import Corpus, Rows

SIZES = ("10", "30", "100", "all")
"""Rows a label, or every row; so many rows in total is `6000rows`."""


@dataclass(frozen=True, eq=False)
class Draw:
    """The rows that every candidate gets; the number of the draw is also the candidates' seed.

    Attributes:
        multi_label: Whether a text may have several labels, or none.
        train: The rows to learn from.
        validation: The corpus's validation rows, if `train` has all its training rows. Otherwise
            None: candidates hold out some of their own.
        test: The corpus's test rows.
    """

    corpus: str
    size: str
    number: int
    multi_label: bool
    train: Rows
    validation: Rows | None
    test: Rows


def draw(corpus: Corpus, size: str, number: int) -> Draw:
    """Draws rows; of two draws with one number, the larger has the rows of the smaller one.

    Raises:
        BenchmarkError: If the size is not one like those in `SIZES`, or `6000rows`.
    """
    train, validation = corpus.train, corpus.validation
    multi_label = any(len(labels) != 1 for labels in train.labels)
    if size != "all":
        count = size.removesuffix("rows")
        if not count.isdecimal():
            raise BenchmarkError(
                f"expected a size such as {', '.join(SIZES)}, 6000rows, received {size!r}"
            )
        order = np.random.default_rng(number).permutation(len(train.texts)).tolist()
        each = count == size
        kept = of_each_label(train.labels, int(count), order) if each else order[: int(count)]
        train, validation = train.only(kept), None
    return Draw(corpus.name, size, number, multi_label, train, validation, corpus.test)


def of_each_label(labels: Sequence[tuple[str, ...]], count: int, order: Sequence[int]) -> list[int]:
    """Rows until so many have each label, or all that have it; for the rarest labels first.

    >>> of_each_label([("a",), ("b",), ("a", "b"), ("a",)], 2, [2, 3, 1, 0])
    [2, 3, 1]
    """
    rows_with = defaultdict(list)
    for row in order:
        for label in labels[row]:
            rows_with[label].append(row)
    drawn: set[int] = set()
    found: Counter[str] = Counter()
    for label in sorted(rows_with, key=lambda label: (len(rows_with[label]), label)):
        for row in rows_with[label]:
            if found[label] < count and row not in drawn:
                drawn.add(row)
                found.update(labels[row])
    return [row for row in order if row in drawn]
