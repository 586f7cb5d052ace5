"""The report of a training run as one HTML file that opens offline.

The templates escape every text. The page loads nothing: its content security policy allows its own
script only.
"""

import base64
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pydantic import BaseModel

from gatewise.training.config.config import Config
from gatewise.training.evaluation.error_analysis import ErrorAnalysis, LabelCounts
from gatewise.training.evaluation.evaluate import LabelMetrics
from gatewise.training.evaluation.regression import RegressionReport, ResidualAnalysis
from gatewise.training.fit.progress import Fitted
from gatewise.training.report import charts, number_charts
from gatewise.training.report.confusion_matrix import matrix
from gatewise.training.report.contents import ReportContents
from gatewise.training.report.metric_names import metric_name
from gatewise.training.report.model_card import sentence

MAX_PAIRS = 30
"""Most confused pairs of labels shown."""
_MISTAKES_FIRST = 10
"""Mistakes shown before anything is unfolded."""

TEXT_SHOWN = 320
"""Characters of a mistake's text shown before it is unfolded."""


def page(contents: ReportContents) -> str:
    """The report as HTML; the same contents give the same bytes."""
    templates = environment()
    reviewed, fitted = contents.reviewed, contents.run.fitted
    settings = _settings(contents.config, contents.automatic)
    return templates.get_template("page.html").render(
        contents=contents,
        run=contents.run,
        report=contents.report,
        reviewed=reviewed,
        sentence=sentence(contents.run, contents.config),
        metric=metric_name(fitted.metric),
        curves=[charts.losses(fitted), charts.metric(fitted)],
        rates=charts.learning_rates(fitted),
        rate_test=_range_test(fitted),
        is_regression=isinstance(reviewed, ResidualAnalysis),
        **(
            _of_numbers(contents, reviewed)
            if isinstance(reviewed, ResidualAnalysis)
            else _of_labels(contents, reviewed)
        ),
        baselines=contents.run.baselines,
        mistakes_first=_MISTAKES_FIRST,
        text_shown=TEXT_SHOWN,
        lengths=charts.lengths(reviewed, contents.config.tokens),
        unknown=charts.unknown_tokens(reviewed, is_sequence=not contents.run.tokens),
        settings=settings,
        automatic=[each for section in settings for each in section if each.is_automatic],
        **inline_files(templates),
    )


def _of_labels(contents: ReportContents, reviewed: ErrorAnalysis) -> dict[str, Any]:
    """What only the page of a classifier has."""
    return {
        "title": f"{_kind(contents)} classifier with {contents.run.labels} labels",
        "matrix": None if reviewed.multi_label else matrix(reviewed),
        "confused": reviewed.confused[:MAX_PAIRS],
        "label_rows": {each.label: each.hits + each.missed for each in reviewed.labels},
        "labels": _label_rows(contents, reviewed),
        "reliability": charts.reliability(reviewed),
        "calibration": contents.calibration and charts.calibration(contents.calibration),
        "coverage": contents.rejection and charts.coverage(contents.rejection),
        "confidences": charts.confidences(reviewed),
    }


def _kind(contents: ReportContents) -> str:
    return "Text" if contents.run.tokens else "Sequence"


def _of_numbers(contents: ReportContents, reviewed: ResidualAnalysis) -> dict[str, Any]:
    """What only the page of a model that predicts numbers has."""
    draws = (number_charts.predicted, number_charts.residuals)
    return {
        "title": f"{_kind(contents)} regression",
        "number_charts": [
            (name, *(draw(points, f"{draw.__name__}{place or ''}") for draw in draws))
            for place, (name, points) in enumerate(reviewed.points.items())
        ],
    }


def inline_files(templates: Environment) -> dict[str, str]:
    """The style and the script of a page, and the script's digest for the security policy."""
    script = templates.get_template("page.js").render()
    return {
        # The package's own files, whose tags and quotes are not to be escaped.
        "style": Markup(templates.get_template("style.css").render()),  # noqa: S704
        "script": Markup(script),  # noqa: S704
        "script_digest": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }


def _range_test(fitted: Fitted) -> Markup | None:
    test = fitted.rate_test
    return charts.lr_range_test(test) if test and any(map(math.isfinite, test.losses)) else None


@dataclass(frozen=True)
class _LabelRow:
    """The counts of one label, and its metrics: None without a row that has it.

    In a single-label task there is no threshold.
    """

    counts: LabelCounts
    metrics: LabelMetrics | None
    training_rows: int | None

    @property
    def label(self) -> str:
        return self.counts.label

    @property
    def rows(self) -> int:
        return self.counts.hits + self.counts.missed


def _label_rows(contents: ReportContents, reviewed: ErrorAnalysis) -> list[_LabelRow]:
    """The labels, lowest F1 first, and at the end those without a reviewed row."""
    report = contents.report
    of_labels = () if isinstance(report, RegressionReport) else report.labels
    metrics = {each.label: each for each in of_labels}
    training = contents.check.survey.training_rows() if contents.check else {}
    rows = [
        _LabelRow(counts, metrics.get(counts.label), training.get(counts.label))
        for counts in reviewed.labels
    ]
    return sorted(
        rows, key=lambda row: (row.metrics is None, row.metrics and row.metrics.f1, row.label)
    )


@dataclass(frozen=True)
class _Setting:
    name: str
    value: str
    default: str
    meaning: str
    is_automatic: bool

    @property
    def is_changed(self) -> bool:
        return self.value != self.default and not self.is_automatic


def _settings(config: Config, automatic: Sequence[str]) -> list[list[_Setting]]:
    """Every setting, by section."""
    shown = config.without_places()
    return [
        _section(section, getattr(shown, section), automatic) for section in Config.model_fields
    ]


def _section(section: str, values: BaseModel, automatic: Sequence[str]) -> list[_Setting]:
    written: dict[str, Any] = values.model_dump(mode="json")
    defaults: dict[str, Any] = type(values)().model_dump(mode="json")
    return [
        _Setting(
            name=f"{section}.{name}",
            value=_setting_text(written[name]),
            default=_setting_text(defaults[name]),
            meaning=field.description or "",
            is_automatic=f"{section}.{name}" in automatic,
        )
        for name, field in type(values).model_fields.items()
    ]


def _setting_text(value: object) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def environment() -> Environment:
    """The templates of the pages, with their filters."""
    environment = Environment(
        loader=PackageLoader("gatewise.training.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_without_controls,
    )
    environment.filters["count"] = "{:,}".format
    environment.filters["percent"] = "{:.1%}".format
    environment.filters["metric"] = "{:.4f}".format
    environment.filters["number"] = "{:.4g}".format
    environment.filters["size"] = _size
    return environment


def _without_controls(value: object) -> object:
    """Replaces control characters, which HTML forbids, by U+FFFD."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if _is_forbidden(character) else character
        for character in value
    )


def _is_forbidden(character: str) -> bool:
    return (
        (character < " " and character not in "\n\t")
        or "\x7f" <= character <= "\x9f"
        or "\ud800" <= character <= "\udfff"
    )


def _size(count: int) -> str:
    """A number of bytes with a unit.

    >>> _size(1_480_000), _size(999)
    ('1.48 MB', '999 bytes')
    """
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"
