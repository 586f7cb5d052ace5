"""Example texts: a short training text of each label, for the model card and the service's page."""

from gatewise.service.model.model_documents import MAX_EXAMPLE_CHARACTERS
from gatewise.training.data.corpora import Rows

_MAX_LABELS = 100
"""The most labels that get an example: more would be a list that nobody reads."""


def example_texts(rows: Rows) -> dict[str, str] | None:
    """The first short training text of each of the first labels, in the order of the labels.

    Where a text may have several labels, one that has no other label is preferred.

    Returns:
        The texts by their labels; None in a regression, or if there are none.
    """
    if rows.task == "regression":
        return None
    labels = rows.labels.names[:_MAX_LABELS]
    alone: dict[str, str] = {}
    among_others: dict[str, str] = {}
    for row, characters in zip(rows.train, rows.train.characters.tolist(), strict=True):
        if characters <= MAX_EXAMPLE_CHARACTERS:
            found = alone if len(row.labels) == 1 else among_others
            for label in row.labels:
                found.setdefault(label, row.text)
            if alone.keys() >= set(labels):
                break
    found = {**among_others, **alone}
    return {label: found[label] for label in labels if label in found} or None
