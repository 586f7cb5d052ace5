"""A matplotlib figure as SVG inside a page: in the page's font and colours, light or dark.

A figure is drawn in colours that stand for a role (`INK`, `GRID`, …); here each becomes the CSS
variable of its name, which the page's stylesheet sets. Text stays text, so it is drawn in the
page's font and can be searched. The same figure gives the same bytes. Knows no data.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from xml.etree import ElementTree as ET

from markupsafe import Markup
from matplotlib import style
from matplotlib.figure import Figure

INK, MUTED, GRID, FIRST, SECOND, MARK = (f"#{number:02x}0000" for number in range(1, 7))
"""Colours that stand for a role; matplotlib's own black and white are not among them."""

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
_REFERENCE = re.compile(r"(?:url\()?#(?P<id>[\w.-]+)\)?")
_LINK = "{http://www.w3.org/1999/xlink}href"


@contextmanager
def drawing() -> Iterator[None]:
    """The style that figures are drawn in, whatever the user's own settings of matplotlib."""
    with style.context(["default", _STYLE]):
        yield


def inline(figure: Figure, name: str, title: str, description: str) -> Markup:
    """A figure as an `<svg>` element to stand in HTML.

    Args:
        figure: Made and drawn within `drawing`.
        name: A name that no other figure of the page has: it goes before every id.
        title: What the figure shows, for those who do not see it.
        description: What is to be seen in it.
    """
    written = io.StringIO()
    figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    root = ET.fromstring(written.getvalue())  # noqa: S314 - matplotlib wrote it
    for element in list(root):
        if _local(element.tag) == "metadata":
            root.remove(element)
    # matplotlib's stylesheet names no class: in a page it would be that of every element.
    for definitions in root.iter("{http://www.w3.org/2000/svg}defs"):
        for element in list(definitions):
            if _local(element.tag) == "style":
                definitions.remove(element)
    referred = {
        found["id"]
        for element in root.iter()
        for key in ("clip-path", _LINK)
        if (found := _REFERENCE.fullmatch(element.get(key, "")))
    }
    for element in root.iter():
        _adapt(element, name, referred)
    box = root.get("viewBox", "")
    root.attrib.clear()
    root.attrib.update({"viewBox": box, "role": "img", "aria-labelledby": f"{name}-title"})
    root.set("aria-describedby", f"{name}-description")
    for position, (tag, text) in enumerate((("title", title), ("desc", description))):
        told = ET.Element(tag, {"id": f"{name}-{'title' if tag == 'title' else 'description'}"})
        told.text = text
        root.insert(position, told)
    # ElementTree escaped every text and attribute.
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704


def _adapt(element: ET.Element, name: str, referred: set[str]) -> None:
    """Makes an element of an SVG file one of an SVG in HTML, where ids and fonts are the page's."""
    # In HTML the elements of an SVG have no namespace, and a link is a plain `href`.
    element.tag = _local(element.tag)
    own = element.attrib.pop("id", None)
    if own in referred:
        element.set("id", f"{name}-{own}")
    if link := element.attrib.pop(_LINK, None):
        element.set("href", f"#{name}-{link[1:]}")
    if clip := element.get("clip-path"):
        element.set("clip-path", clip.replace("#", f"#{name}-"))
    if path := element.get("d"):
        element.set("d", " ".join(path.split()))
    if declarations := element.get("style"):
        element.set("style", _declarations(declarations))
    element.text = (element.text or "").strip()
    element.tail = None


def _declarations(style_attribute: str) -> str:
    kept = [
        declaration.strip()
        for declaration in style_attribute.split(";")
        if not declaration.strip().startswith("font-family")
    ]
    declarations = ";".join(kept)
    for colour, variable in _VARIABLES.items():
        declarations = declarations.replace(colour, variable)
    return declarations


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
