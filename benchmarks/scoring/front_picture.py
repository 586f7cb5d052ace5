"""The front as a picture: a chart for each corpus, accuracy against rows a second."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from matplotlib import style
from matplotlib.figure import Figure

from benchmarks.accuracy.picture import STYLE
from benchmarks.scoring.front import CASCADED

_PEERS = ("LinearSVC", "fastText")


def write_picture(file: Path, fronts: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Draws what `front` prints, by titles; the same points give the same bytes."""
    with style.context(["default", STYLE, {"lines.markersize": 5}]):
        figure = Figure(figsize=(5 * len(fronts), 3.6), layout="constrained")
        charts = figure.subplots(1, len(fronts), squeeze=False).ravel()
        for (title, points), chart in zip(fronts.items(), charts, strict=True):
            ours = [point for point in points if point["what"] not in _PEERS]
            lines = {
                "the network": [p for p in ours if not p["what"].endswith(CASCADED)],
                "with the cascade": [p for p in ours if p["what"].endswith(CASCADED)],
                "others": [point for point in points if point["what"] in _PEERS],
            }
            for name, of_line in lines.items():
                x, y = ([point[key] for point in of_line] for key in ("rows/s", "accuracy, %"))
                chart.plot(x, y, "s" if name == "others" else "o-", label=name)
                beside = (5, -11) if name == "with the cascade" else (5, 5)
                for point, *place in zip(of_line, x, y, strict=True):
                    text = str(point["what"]).removesuffix(CASCADED)
                    chart.annotate(
                        text, tuple(place), xytext=beside, textcoords="offset points", fontsize=8
                    )
            chart.set_title(title, loc="left")
            chart.set_xscale("log")
            chart.margins(x=0.2, y=0.15)
        figure.supxlabel("rows a second")
        figure.supylabel("test accuracy, %")
        handles, labels = charts[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3)
        figure.savefig(file, metadata={"Date": None, "Creator": None})


def main(
    picture: Annotated[Path, typer.Argument(help="The SVG file to write.")],
    fronts: Annotated[list[Path], typer.Argument(help="Files of `front --json`.")],
) -> None:
    """Draw fronts, which the names of their files title."""
    read = {file.stem: json.loads(file.read_text(encoding="utf-8"))["front"] for file in fronts}
    write_picture(picture, read)


if __name__ == "__main__":
    typer.run(main)
