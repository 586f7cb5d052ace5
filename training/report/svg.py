"""A matplotlib figure as inline SVG, in the page's font and colours, light or dark.

Figures are drawn in placeholder colours (`INK`, `GRID`, …), each of which becomes the CSS variable
of that name in the page's stylesheet. Text stays text, so it has the page's font and can be
searched. The same figure gives the same bytes.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

from markupsafe import Markup, escape
from matplotlib import style
from matplotlib.figure import Figure

INK, MUTED, GRID, FIRST, SECOND, MARK = (f"#{number:02x}0000" for number in range(1, 7))
"""Placeholder colours, by role; none of them is a colour that matplotlib uses by itself."""

_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    FIRST: "var(--first)",
    SECOND: "var(--second)",
    MARK: "var(--mark)",
}
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gatewise",
    "font.size": 13,
    "xtick.labelsize": 12,
    "ytick.labelsize": 12,
    "legend.fontsize": 12,
    "text.color": INK,
    "text.parse_math": False,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "lines.linewidth": 2,
}


@contextmanager
def drawing() -> Iterator[None]:
    """Sets the style of figures, independent of the user's matplotlib settings."""
    with style.context(["default", _STYLE]):
        yield


def inline(figure: Figure, name: str, title: str, description: str) -> Markup:
    """A figure made within `drawing` as an `<svg>` element inside HTML.

    Every id begins with the name. Title and description are for assistive technology.
    """
    written = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(written, format="svg", metadata=nothing)
    tag, _, body = written.getvalue().partition("<svg ")[2].partition(">")
    (box,) = re.findall(r'viewBox="[^"]*"', tag)
    # matplotlib's stylesheet selects by element: in a page it would apply to every element.
    body = re.sub(r"<style.*?</style>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r"font-family:[^;\"]*", "", body)
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, variable)
    # Every id and every reference to one: `id="…"`, `href="#…"`, `url(#…)`.
    body = re.sub(r'( id="|"#|\(#)', rf"\g<1>{name}-", body.replace("xlink:href", "href"))
    return Markup(  # noqa: S704 — matplotlib escapes text
        f'<svg {box} role="img" aria-labelledby="{name}-title" '
        f'aria-describedby="{name}-description"><title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-description">{escape(description)}</desc>{body}'
    )
