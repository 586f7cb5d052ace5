"""The report of a training run as one HTML file: whole, offline, and safe to open.

Puts figures, tables and charts into the templates beside it, which escape every text that comes
from outside. The page loads nothing: its policy forbids even its own texts to run or to fetch.
Computes no figure.
"""

import base64
import hashlib
import math

from gatewise.training.fit.progress import Fitted
from gatewise.training.report import calibration_charts, charts, tables
from gatewise.training.report.confusion_matrix import matrix
from gatewise.training.report.contents import ReportContents
from gatewise.training.report.model_card import metric_in_words, sentence
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_PAIRS_SHOWN = 30
_MISTAKES_FIRST = 10
"""Mistakes that are seen before anything is unfolded."""

_TEXT_SHOWN = 320
"""Characters of a mistake's text that are seen before it is unfolded."""


def page(contents: ReportContents) -> str:
    """The report; the same contents give the same document.

    Args:
        contents: What the report tells.
    """
    environment = _environment()
    script = environment.get_template("page.js").render()
    reviewed, fitted = contents.reviewed, contents.run.fitted
    return environment.get_template("page.html").render(
        contents=contents,
        run=contents.run,
        report=contents.shown,
        reviewed=reviewed,
        sentence=sentence(contents.run, contents.config),
        metric=metric_in_words(fitted.metric),
        curves=[charts.losses(fitted), charts.metric(fitted)],
        rates=charts.rates(fitted),
        rate_test=_rate_test(fitted),
        matrix=None if reviewed.multi_label else matrix(reviewed),
        confused=tables.confused_rows(reviewed, _PAIRS_SHOWN),
        labels=tables.label_rows(contents.shown, reviewed),
        mistakes_first=_MISTAKES_FIRST,
        text_shown=_TEXT_SHOWN,
        trust=calibration_charts.trust(reviewed),
        calibration=calibration_charts.calibration(contents.calibration)
        if contents.calibration
        else None,
        coverage=contents.rejection and calibration_charts.coverage(contents.rejection),
        sureness=calibration_charts.sureness(reviewed),
        lengths=charts.lengths(reviewed, contents.config.tokens.max_length),
        unknown=charts.unknown(reviewed),
        overlaps=tables.overlap_rows(contents.duplicates) if contents.duplicates else (),
        settings=tables.settings(contents.config),
        # Markup: these two are the package's own, and their tags and quotes are meant.
        style=Markup(environment.get_template("style.css").render()),  # noqa: S704
        script=Markup(script),  # noqa: S704
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _rate_test(fitted: Fitted) -> Markup | None:
    test = fitted.rate_test
    return charts.rate_test(test) if test and any(map(math.isfinite, test.losses)) else None


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("gatewise.training.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters["count"] = "{:,}".format
    environment.filters["percent"] = "{:.1%}".format
    environment.filters["figure"] = "{:.4f}".format
    environment.filters["size"] = _size
    return environment


def _shown(value: object) -> object:
    """A value as a page can hold it: control characters, which HTML forbids, as U+FFFD."""
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
    """A size in bytes as people say it.

    >>> _size(1_480_000), _size(999)
    ('1.48 MB', '999 bytes')
    """
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"
