"""The names of the classes and their ids. Knows nothing of texts or scores."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from vocab.errors import CorpusError


@dataclass(frozen=True)
class Labels:
    """The classes of a task, sorted by name; a class's id is its place in `names`.

    Attributes:
        names: The label of each id, sorted and unique.
    """

    names: tuple[str, ...]

    @classmethod
    def of(cls, labels: Iterable[str]) -> "Labels":
        """Collects the classes that occur.

        >>> Labels.of(["spam", "ham", "spam"]).names
        ('ham', 'spam')

        Args:
            labels: The label of every row, in any order.

        Raises:
            CorpusError: If fewer than two classes occur: there would be nothing to tell apart.
        """
        names = tuple(sorted(set(labels)))
        if len(names) < 2:
            received = f"only {names[0]!r}" if names else "none"
            raise CorpusError(
                f"expected at least two different labels in the training corpus, received "
                f"{received}: a classifier needs classes to tell apart"
            )
        return cls(names)

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of each label."""
        return {name: index for index, name in enumerate(self.names)}

    def encode(self, labels: Sequence[str]) -> list[int]:
        """The id of each row's label.

        Raises:
            KeyError: If a label is unknown; the corpus reader refuses such rows by file and line.
        """
        return [self.ids[label] for label in labels]
