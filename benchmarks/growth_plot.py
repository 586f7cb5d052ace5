"""The curves of `growth`: texts a second and peak memory, a picture for each thing that grows."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from growth_point import Cost

matplotlib.use("Agg")  # no window: the plot goes to a file

from matplotlib import pyplot


def draw(curves: Mapping[str, Sequence[tuple[int, Cost]]], file: Path) -> None:
    """Draws the curves, all axes logarithmic.

    Args:
        curves: For each thing that grows, how far and at what cost.
        file: Where to; its ending says whether as PNG or as SVG.
    """
    figure, panels = pyplot.subplots(
        1, max(1, len(curves)), figsize=(3.6 * max(1, len(curves)), 3.2), squeeze=False
    )
    for panel, (name, curve) in zip(panels[0], curves.items(), strict=False):
        sizes = [size for size, _ in curve]
        panel.loglog(sizes, [cost.texts for _, cost in curve], "o-", color="tab:blue")
        panel.set_xlabel(name)
        panel.set_ylabel("texts/s", color="tab:blue")
        memory = panel.twinx()
        memory.loglog(sizes, [cost.peak_mib for _, cost in curve], "s--", color="tab:orange")
        memory.set_ylabel("peak, MiB", color="tab:orange")
    figure.tight_layout()
    figure.savefig(file)
    pyplot.close(figure)
