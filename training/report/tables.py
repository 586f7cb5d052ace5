"""The rows of a report's tables: labels, confused pairs, duplicates, settings.

Puts figures that are known side by side; knows no page.
"""

import json
from dataclasses import dataclass
from typing import Any

from gatewise.training.config.config import Config
from gatewise.training.data.duplicates import Duplicates
from gatewise.training.evaluation.error_analysis import ErrorAnalysis
from gatewise.training.evaluation.evaluate import Report
from pydantic import BaseModel


@dataclass(frozen=True)
class LabelRow:
    """One label: its figures and what became of its rows; `None` where there is no such figure."""

    label: str
    rows: int
    precision: float
    recall: float
    f1: float
    hits: int
    missed: int
    wrong: int
    threshold: float | None


@dataclass(frozen=True)
class ConfusedRow:
    """Two labels that were confused, and the share of the right one's rows."""

    right: str
    given: str
    rows: int
    share: float


@dataclass(frozen=True)
class Setting:
    """One setting of a run."""

    name: str
    value: str
    default: str
    meaning: str

    @property
    def is_changed(self) -> bool:
        """Whether it is not the default."""
        return self.value != self.default


@dataclass(frozen=True)
class OverlapRow:
    """Rows of one part of the corpus that are found again in another part, or earlier in it."""

    part: str
    other: str
    rows: int
    exact: int
    near: int


def label_rows(report: Report, reviewed: ErrorAnalysis) -> list[LabelRow]:
    """The labels of a report, the hardest first."""
    counts = {found.label: found for found in reviewed.labels}
    rows = [
        LabelRow(
            label=figures.label,
            rows=figures.rows,
            precision=figures.precision,
            recall=figures.recall,
            f1=figures.f1,
            hits=counts[figures.label].hits,
            missed=counts[figures.label].missed,
            wrong=counts[figures.label].wrong,
            threshold=figures.threshold,
        )
        for figures in report.labels
    ]
    return sorted(rows, key=lambda row: (row.f1, row.label))


def confused_rows(reviewed: ErrorAnalysis, most: int) -> list[ConfusedRow]:
    """The pairs of labels that were confused most often."""
    rows = {found.label: found.hits + found.missed for found in reviewed.labels}
    return [
        ConfusedRow(pair.right, pair.given, pair.rows, pair.rows / rows[pair.right])
        for pair in reviewed.confused[:most]
    ]


def settings(config: Config) -> dict[str, list[Setting]]:
    """Every setting of a run by its section."""
    told = config.without_places()
    return {section: _section(section, getattr(told, section)) for section in Config.model_fields}


def overlap_rows(duplicates: Duplicates) -> list[OverlapRow]:
    """What is found again of each part of a corpus."""
    return [
        OverlapRow(part, other, duplicates.rows[part], overlap.exact, overlap.near)
        for (part, other), overlap in duplicates.overlaps.items()
    ]


def _section(section: str, values: BaseModel) -> list[Setting]:
    written: dict[str, Any] = values.model_dump(mode="json")
    defaults: dict[str, Any] = type(values)().model_dump(mode="json")
    return [
        Setting(
            name=f"{section}.{name}",
            value=_shown(written[name]),
            default=_shown(defaults[name]),
            meaning=field.description or "",
        )
        for name, field in type(values).model_fields.items()
    ]


def _shown(value: object) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
