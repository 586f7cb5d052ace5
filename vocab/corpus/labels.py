"""Label ids: the labels of a task, sorted, and the id of each; or the names of its numbers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gatewise.vocab.errors import CorpusError


@dataclass(frozen=True)
class Labels:
    """The labels of a task, sorted; the id of a label is its index in `names`.

    Attributes:
        names: The labels, sorted and distinct; in a regression the numbers, in their order.
    """

    names: tuple[str, ...]

    @classmethod
    def of(cls, labels: Iterable[str]) -> "Labels":
        """Collect the labels of a corpus.

        >>> Labels.of(["spam", "ham", "spam"]).names
        ('ham', 'spam')

        Args:
            labels: The labels of all rows, in any order.

        Raises:
            CorpusError: There are fewer than two labels.
        """
        names = tuple(sorted(set(labels)))
        if len(names) < 2:
            received = f"only {names[0]!r}" if names else "none"
            raise CorpusError(
                f"expected at least two different labels in the training corpus, received "
                f"{received}: a classifier needs more than one class"
            )
        return cls(names)

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of each label."""
        return {name: index for index, name in enumerate(self.names)}

    def matrix(self, rows: Sequence[Sequence[str]]) -> NDArray[np.bool_]:
        """Whether each row has each label; labels that are none of these are left out.

        >>> Labels(("ham", "spam")).matrix([("spam",), ()]).tolist()
        [[False, True], [False, False]]

        Args:
            rows: The labels of each row.

        Returns:
            bool, shape `(rows, labels)`.
        """
        matrix = np.zeros((len(rows), len(self)), dtype=np.bool_)
        pairs = [
            (row, self.ids[label])
            for row, labels in enumerate(rows)
            for label in labels
            if label in self.ids
        ]
        if pairs:
            matrix[tuple(np.array(pairs).T)] = True
        return matrix
