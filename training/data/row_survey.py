"""A survey of the rows of a run in one pass: rows of each label, and texts that hold no words."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gatewise.training.data.corpora import Rows
from gatewise.training.data.duplicates import Part
from gatewise.vocab.corpus.corpus_reader import Row

TextKind = Literal["number", "id"]

_MAX_CHARACTERS = 64
"""Longest text that may be a number or an id."""

_NUMBER = re.compile(r"[-+~<>=]?\s*[$€£¥₩%]?\s*\d[\d\s.,:/%$€£¥₩+-]*")
_ID = re.compile(r"(?=(?:[^\d]*\d){3})#?[A-Za-z0-9]+(?:[-_.:/][A-Za-z0-9]+)*")
_HEX = re.compile(r"[0-9a-fA-F]{8,}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True)
class RowSurvey:
    """The rows of a run, counted.

    Attributes:
        rows: Rows of each part.
        labels: Rows of each label, by part. A row out of scope counts for no label.
        in_scope: Rows of each part that have a label or, in a multi-label task, may have none.
        first: The first training row of each label.
        kinds: Texts of all parts that are numbers or ids, and not words.
        first_of_kind: The first row with such a text.
    """

    rows: dict[Part, int] = field(default_factory=dict)
    labels: dict[Part, Counter[str]] = field(default_factory=dict)
    in_scope: dict[Part, int] = field(default_factory=dict)
    first: dict[str, Row] = field(default_factory=dict)
    kinds: Counter[TextKind] = field(default_factory=Counter)
    first_of_kind: dict[TextKind, Row] = field(default_factory=dict)

    def training_rows(self) -> Mapping[str, int]:
        """Training rows of each label."""
        return self.labels["train"]


def survey(rows: Rows) -> RowSurvey:
    """Counts the rows of a run."""
    found = RowSurvey()
    for part, stored in rows.parts().items():
        labels: Counter[str] = Counter(dict.fromkeys(rows.labels.names, 0))
        count = in_scope = 0
        for row in stored:
            count += 1
            in_scope += bool(row.labels) or rows.multi_label
            labels.update(row.labels)
            for label in row.labels:
                if part == "train" and label not in found.first:
                    found.first[label] = row
            if kind := text_kind(row.text):
                found.kinds[kind] += 1
                found.first_of_kind.setdefault(kind, row)
        found.rows[part], found.labels[part], found.in_scope[part] = count, labels, in_scope
    return found


def text_kind(text: str) -> TextKind | None:
    """Whether a text is a number (an amount, a date, a time) or an id, and holds no words.

    >>> text_kind("12,50 €"), text_kind("2024-05-01 10:00"), text_kind("INV-2024-0017")
    ('number', 'number', 'id')
    >>> text_kind("covid19"), text_kind("call 0800 123456")
    (None, None)
    """
    if len(text) > _MAX_CHARACTERS:
        return None
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return "number"
    if _ID.fullmatch(text) or (_HEX.fullmatch(text) and not text.isalpha()):
        return "id"
    return None
