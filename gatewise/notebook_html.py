"""What a notebook shows of a model: a small table, and the report in a frame."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path


def html_table(rows: Mapping[str, object]) -> str:
    """A table of two columns, names and values."""
    cells = "".join(
        f'<tr><th style="text-align: left">{escape(name)}</th>'
        f'<td style="text-align: left">{escape(str(value))}</td></tr>'
        for name, value in rows.items()
    )
    return f"<table>{cells}</table>"


@dataclass(frozen=True)
class ReportPage:
    """The report of a training run; a notebook shows it inline.

    Attributes:
        html: The page, which loads nothing.
    """

    html: str

    def save(self, path: str | Path) -> None:
        """Writes the page to a file."""
        Path(path).write_text(self.html, encoding="utf-8")

    def _repr_html_(self) -> str:
        # In a frame of its own, where its style and script meet nothing of the notebook's.
        return (
            f'<iframe srcdoc="{escape(self.html)}" sandbox="allow-scripts" title="training report" '
            'style="display: block; box-sizing: border-box; width: 100%; height: 640px; '
            'border: 1px solid #8888"></iframe>'
        )
