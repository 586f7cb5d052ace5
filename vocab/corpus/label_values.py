"""What a record has as its target: a label, several, a probability for each label, or numbers."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from numbers import Real
from typing import Any

from gatewise.vocab.corpus.columns import Task
from gatewise.vocab.corpus.json_records import json_kind
from gatewise.vocab.corpus.label_lists import is_list, parse_list
from gatewise.vocab.corpus.records import BadRow, Record
from gatewise.vocab.corpus.shown_names import shown_names

SEPARATOR = "|"
"""The separator between labels in a cell of text."""

_TOLERANCE = 1e-3  # of the sum of the probabilities in a single-label task
_MAX_NUMBER = 1e30  # its square, too, is far from what 64-bit floats can hold
_MAX_NAMED_LABELS = 3
_MAX_CHARACTERS = 60
_MAX_BITS = 200  # of an integer in a message, which are as many digits
_OF_THE_MODEL = "the model gives a text exactly one"
_SEVERAL = "for several labels per text, set corpus.task=multi_label"


def one_label(
    record: Record,
    column: str,
    known: frozenset[str] | None = None,
    *,
    accept_unknown: bool = False,
) -> str | BadRow:
    """The label of a record, or a bad row with the reason why there is none.

    Args:
        record: The record.
        column: The column of the label.
        known: The labels of the model; None if there is no model yet.
        accept_unknown: Whether other labels are accepted.
    """
    label = record.values.get(column)
    advice = _SEVERAL if known is None else _OF_THE_MODEL
    if isinstance(label, int) and not isinstance(label, bool):
        label = str(label)
    if isinstance(label, str) and label and not label.isspace():
        if known is not None and label in known:
            return label
        if is_list(label):
            return record.bad(
                f"expected one label, received a list written as text, {_printable(label)}; "
                f"{advice}"
            )
        if known is None or accept_unknown:
            return label
        return record.bad(unknown_label(label, known))
    if label is None or isinstance(label, str):
        return record.bad("the label is missing")
    reason = f"expected the label to be a string or an integer, received {json_kind(label)}"
    return record.bad(f"{reason}; {advice}" if isinstance(label, list) else reason)


def several_labels(
    record: Record,
    column: str,
    known: frozenset[str] | None = None,
    *,
    accept_unknown: bool = False,
) -> tuple[str, ...] | BadRow:
    """The labels of a record, sorted and distinct, or a bad row with the reason.

    A list holds strings or integers; a string, as in a CSV cell, is a list written as text or is
    split at `|`. An empty list or string means no label.
    """
    value = record.values.get(column)
    if value is None:
        return record.bad("the labels are missing; an empty list or cell means no label")
    items = _items(value) if isinstance(value, str) else value
    if not isinstance(items, list):
        reason = f"expected the labels to be a list, received {json_kind(value)}"
        if isinstance(value, str):
            reason = (
                "expected the labels to be a list such as ['a', 'b'], or separated by "
                f"{SEPARATOR!r}, received {_printable(value)}"
            )
        return record.bad(reason)
    labels = set()
    for label in items:
        if isinstance(label, int) and not isinstance(label, bool):
            label = str(label)  # noqa: PLW2901 (the same label)
        if not isinstance(label, str):
            kind = json_kind(label)
            return record.bad(f"expected each label to be a string or an integer, received {kind}")
        if not label or label.isspace():
            return record.bad("one of the labels is empty")
        if known is not None and label not in known and not accept_unknown:
            return record.bad(unknown_label(label, known))
        labels.add(label)
    return tuple(sorted(labels))


def numbers_of(
    record: Record, columns: Sequence[str], count: int | None = None
) -> tuple[float, ...] | BadRow:
    """The numbers of a record, or a bad row with the reason why there are none.

    Args:
        record: The record.
        columns: The column of the number, or of a list of numbers, also written as text; or the
            column of each of several.
        count: How many numbers are expected; None for any.
    """
    values = [_plain(record.values.get(column)) for column in columns]
    in_list = len(columns) == 1 and isinstance(values[0], list | tuple)
    items = values[0] if in_list else values
    found = []
    for position, item in enumerate(items):
        number = _number(item)
        if number is None or abs(number) > _MAX_NUMBER:
            column = columns[0 if in_list else position]
            place = f"number {position + 1} of {len(items)}: " if in_list else ""
            task: Task = "multi_label" if in_list else "single_label"
            return record.bad(f"column {column!r}: {place}{_no_number(item, column, task)}")
        found.append(number)
    if not found or count not in (None, len(found)):
        expected = "a list of numbers" if count is None else f"{count:,} in every row"
        received = f"a list of {len(found):,}" if in_list else "a number"
        return record.bad(f"column {columns[0]!r}: expected {expected}, received {received}")
    return tuple(found)


def _plain(value: Any) -> Any:
    """A cell with numbers as a number or a list, also of Arrow, of NumPy or written as text."""
    for plain in ("as_py", "tolist"):
        value = getattr(value, plain)() if hasattr(value, plain) else value
    if isinstance(value, str) and value.lstrip().startswith("["):
        return parse_list(value) or value
    return value


def _no_number(item: object, column: str, task: Task) -> str:
    """Why a value is no number to predict; the task is that of a column of such labels."""
    if item is None or item == "":
        return "the number is missing"
    if _number(item) is None:
        return (
            f"expected a finite number such as 3.5, received {_printable(item)}; for labels, set "
            f"corpus.label_column={column} and corpus.task={task}"
        )
    return (
        f"expected a number of at most {_MAX_NUMBER:g} in size, received {_printable(item)}: give "
        "it in another unit"
    )


def weight_of(record: Record, column: str) -> float | BadRow:
    """The weight of a row in training, or a bad row with the reason why it has none."""
    value = record.values.get(column)
    number = _number(value)
    if number is None or not 0 <= number <= _MAX_NUMBER:
        return record.bad(
            f"column {column!r}: expected a weight, a finite number of at least 0, received "
            f"{_printable(value)}"
        )
    return number


def name_labels(record: Record, column: str, names: Sequence[str]) -> Record | BadRow:
    """A record with the names of its labels instead of their numbers, or a bad row.

    Args:
        record: The record; a value that is no number, or a list of them, stays.
        column: The column of the label or labels.
        names: The names, by number. -1 stands for a missing label.
    """
    value = record.values.get(column)
    values = value if isinstance(value, list) else [value]
    numbers = [number for number in values if isinstance(number, int)]
    if len(numbers) < len(values):
        return record
    named: list[object] = []
    for number in numbers:
        if not -1 <= number < len(names):
            return record.bad(
                f"expected the number of one of the {len(names)} labels, received {number}"
            )
        named.append(None if number == -1 else names[number])
    label = named if isinstance(value, list) else named[0]
    return replace(record, values={**record.values, column: label})


def named_values(
    values: Mapping[str, object], names: Mapping[str, Sequence[str]]
) -> Mapping[str, object]:
    """The values of a row with the names of class labels instead of their numbers.

    >>> named_values({"text": "a", "label": 1}, {"label": ("ham", "spam")})
    {'text': 'a', 'label': 'spam'}

    Args:
        values: Column to value.
        names: The names by number, of each column of class labels. A number without a name stays.
    """

    def named(value: object, of_column: Sequence[str]) -> object:
        if isinstance(value, list):
            return [named(item, of_column) for item in value]
        if isinstance(value, int) and -1 <= value < len(of_column):
            return None if value == -1 else of_column[value]
        return value

    return {
        column: named(value, names[column]) if column in names else value
        for column, value in values.items()
    }


def _items(cell: str) -> list[object] | None:
    if is_list(cell):
        return parse_list(cell)
    return list(cell.split(SEPARATOR)) if cell else []


def probabilities(
    record: Record, prefix: str, labels: Sequence[str], task: Task
) -> tuple[float, ...] | BadRow:
    """The probability of each label of a record, or a bad row with the reason.

    Args:
        record: The record.
        prefix: Prefix of the names of probability columns.
        labels: The labels.
        task: In a single-label task the probabilities must add up to 1, within a thousandth, and
            are normalized.
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
                f"{_printable(value)}"
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
    """The labels for probabilities: the most probable one, or all of 0.5 and more.

    >>> likely_labels((0.25, 0.75), ("ham", "spam"), "single_label")
    ('spam',)
    >>> likely_labels((0.5, 0.75), ("ham", "spam"), "multi_label")
    ('ham', 'spam')

    Args:
        probabilities: The probability of each label.
        labels: The labels, sorted.
        task: In a single-label task, the first of equally probable labels.
    """
    if task == "multi_label":
        return tuple(
            label for label, value in zip(labels, probabilities, strict=True) if value >= 0.5
        )
    return (labels[probabilities.index(max(probabilities))],)


def unknown_label(label: str, known: Collection[str]) -> str:
    """The reason why a row with an unknown label is bad."""
    names = shown_names(sorted(known)[:_MAX_NAMED_LABELS])
    more = f" … ({len(known)})" if len(known) > _MAX_NAMED_LABELS else ""
    return f"label {_printable(label)} was never seen in training; known labels: {names}{more}"


def _printable(value: object) -> str:
    if isinstance(value, str):
        cut = value if len(value) <= _MAX_CHARACTERS else value[:_MAX_CHARACTERS] + "…"
        return repr(cut)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_huge = isinstance(value, int) and value.bit_length() > _MAX_BITS
    return repr(value) if is_number and not is_huge else json_kind(value)


def _number(value: object) -> float | None:
    """A finite number, also from a cell of text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | Real | Decimal):
        return None
    try:
        # float() would accept an underscore between digits.
        number = math.nan if isinstance(value, str) and "_" in value else float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
