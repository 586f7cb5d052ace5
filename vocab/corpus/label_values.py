"""What stands in a record's columns of labels: one label, several, or a probability for each.

Owns what makes such a value usable. Knows nothing of texts, nor of which columns those are.
"""

import math
from collections.abc import Collection, Sequence
from numbers import Real

from gatewise.vocab.corpus.columns import Task
from gatewise.vocab.corpus.json_records import json_kind
from gatewise.vocab.corpus.records import BadRow, Record

SEPARATOR = "|"
"""What stands between labels in a cell of text."""

_TOLERANCE = 1e-3  # how far the probabilities of one label's task may be from adding up to 1
_LABELS_NAMED = 3
_CHARACTERS_SHOWN = 60
_SEVERAL = "for several labels per text, set corpus.task=multi_label"


def one_label(record: Record, column: str, known: frozenset[str] | None = None) -> str | BadRow:
    """Take the label out of a record, or the reason why there is none."""
    label = record.values.get(column)
    if isinstance(label, int) and not isinstance(label, bool):
        label = str(label)
    if isinstance(label, str) and label and not label.isspace():
        if known is None or label in known:
            return label
        return record.bad(unknown_label(label, known))
    if label is None or isinstance(label, str):
        return record.bad("the label is missing")
    reason = f"expected the label to be a string or an integer, received {json_kind(label)}"
    return record.bad(f"{reason}; {_SEVERAL}" if isinstance(label, list) else reason)


def several_labels(
    record: Record, column: str, known: frozenset[str] | None = None
) -> tuple[str, ...] | BadRow:
    """Take the labels out of a record, or the reason why they cannot be told.

    A list holds them as strings or integers; a string, as in a cell of CSV, holds them with `|`
    between. An empty list and an empty string say that there are none. A label that comes twice
    counts once.

    Returns:
        The labels, sorted.
    """
    value = record.values.get(column)
    if value is None:
        return record.bad("the labels are missing; an empty list or cell says that there are none")
    if isinstance(value, str):
        value = value.split(SEPARATOR) if value else []
    if not isinstance(value, list):
        return record.bad(f"expected the labels to be a list, received {json_kind(value)}")
    labels = set()
    for label in value:
        if isinstance(label, int) and not isinstance(label, bool):
            label = str(label)  # noqa: PLW2901 (the same label, as it is written everywhere else)
        if not isinstance(label, str):
            kind = json_kind(label)
            return record.bad(f"expected each label to be a string or an integer, received {kind}")
        if not label or label.isspace():
            return record.bad("one of the labels is empty")
        if known is not None and label not in known:
            return record.bad(unknown_label(label, known))
        labels.add(label)
    return tuple(sorted(labels))


def probabilities(
    record: Record, prefix: str, labels: Sequence[str], task: Task
) -> tuple[float, ...] | BadRow:
    """Take the probability of each label out of a record, or the reason why there is none.

    Args:
        record: The record.
        prefix: What comes before a label in the name of its column.
        labels: The labels.
        task: In a single-label task the probabilities must add up to 1, but for a thousandth;
            that is then taken off them.

    Returns:
        As many numbers as labels, each between 0 and 1.
    """
    found = []
    for label in labels:
        column = prefix + label
        value = record.values.get(column)
        number = _number(value)
        if number is None or not 0 <= number <= 1:
            if value is None or value == "":
                return record.bad(f"column {column!r}: the probability is missing")
            return record.bad(
                f"column {column!r}: expected a probability between 0 and 1, received "
                f"{_shown(value)}"
            )
        found.append(number)
    if task == "multi_label":
        return tuple(found)
    total = math.fsum(found)
    if abs(total - 1) > _TOLERANCE:
        return record.bad(
            f"expected the probabilities to add up to 1, received {total:.6g}; {_SEVERAL}"
        )
    return tuple(number / total for number in found)


def likely_labels(
    probabilities: Sequence[float], labels: Sequence[str], task: Task
) -> tuple[str, ...]:
    """The labels that probabilities stand for: the likeliest one, or all that are likely.

    >>> likely_labels((0.25, 0.75), ("ham", "spam"), "single_label")
    ('spam',)
    >>> likely_labels((0.5, 0.75), ("ham", "spam"), "multi_label")
    ('ham', 'spam')

    Args:
        probabilities: The probability of each label.
        labels: The labels, sorted.
        task: One label, the first of equals; or every label of 0.5 at least.
    """
    if task == "multi_label":
        return tuple(label for label, one in zip(labels, probabilities, strict=True) if one >= 0.5)
    return (labels[probabilities.index(max(probabilities))],)


def unknown_label(label: str, known: Collection[str]) -> str:
    """The reason against a label that a model does not know."""
    names = ", ".join(sorted(known)[:_LABELS_NAMED])
    more = f" … ({len(known)})" if len(known) > _LABELS_NAMED else ""
    return f"label {_shown(label)} was never seen in training; known labels: {names}{more}"


def _shown(value: object) -> str:
    if isinstance(value, str):
        # Cut, for a cell may hold a book.
        cut = value if len(value) <= _CHARACTERS_SHOWN else value[:_CHARACTERS_SHOWN] + "…"
        return repr(cut)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return repr(value) if is_number else json_kind(value)


def _number(value: object) -> float | None:
    """A finite number, or one written in a cell of text; None for anything else."""
    if isinstance(value, str):
        try:
            # Python alone would read an underscore between digits.
            number = math.nan if "_" in value else float(value)
        except ValueError:
            return None
    elif isinstance(value, Real) and not isinstance(value, bool):
        number = float(value)
    else:
        return None
    return number if math.isfinite(number) else None
