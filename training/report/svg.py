"""A matplotlib figure as inline SVG, in the page's font and colours, light or dark.

Figures are drawn in placeholder colours (`INK`, `GRID`, …), each of which becomes the CSS variable
of that name in the page's stylesheet. Text stays text, so it has the page's font and can be
searched. The same figure gives the same bytes.
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
_REFERENCE = re.compile(r"(?:url\()?#(?P<id>[\w.-]+)\)?")
_LINK = "{http://www.w3.org/1999/xlink}href"


@contextmanager
def drawing() -> Iterator[None]:
    """Sets the style of figures, independent of the user's matplotlib settings."""
    with style.context(["default", _STYLE]):
        yield


def inline(figure: Figure, name: str, title: str, description: str) -> Markup:
    """A figure as an `<svg>` element inside HTML.

    Args:
        figure: A figure made within `drawing`.
        name: Prefix of every id, unique in the page.
        title: Title for assistive technology.
        description: Description for assistive technology.
    """
    written = io.StringIO()
    figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    root = ET.fromstring(written.getvalue())  # noqa: S314 - matplotlib wrote it
    for element in list(root):
        if _local(element.tag) == "metadata":
            root.remove(element)
    # matplotlib's stylesheet selects by element: in a page it would apply to every element.
    for definitions in root.iter("{http://www.w3.org/2000/svg}defs"):
        for element in list(definitions):
            if _local(element.tag) == "style":
                definitions.remove(element)
    referenced = {
        found["id"]
        for element in root.iter()
        for key in ("clip-path", _LINK)
        if (found := _REFERENCE.fullmatch(element.get(key, "")))
    }
    for element in root.iter():
        _adapt(element, name, referenced)
    box = root.get("viewBox", "")
    root.attrib.clear()
    root.attrib.update({"viewBox": box, "role": "img", "aria-labelledby": f"{name}-title"})
    root.set("aria-describedby", f"{name}-description")
    for position, (tag, text) in enumerate((("title", title), ("desc", description))):
        element = ET.Element(tag, {"id": f"{name}-{'title' if tag == 'title' else 'description'}"})
        element.text = text
        root.insert(position, element)
    # ElementTree escapes every text and attribute.
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704


def _adapt(element: ET.Element, name: str, referenced: set[str]) -> None:
    """Turns an element of an SVG file into one of an inline SVG: ids, links, fonts, colours."""
    # In HTML the elements of an SVG have no namespace, and a link is a plain `href`.
    element.tag = _local(element.tag)
    own = element.attrib.pop("id", None)
    if own in referenced:
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
    declarations = ";".join(
        declaration.strip()
        for declaration in style_attribute.split(";")
        if not declaration.strip().startswith("font-family")
    )
    for colour, variable in _VARIABLES.items():
        declarations = declarations.replace(colour, variable)
    return declarations


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
