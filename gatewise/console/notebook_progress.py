"""A progress bar in a notebook: HTML that is updated in place, which needs no widgets."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING

from gatewise.console.training_console import epoch_line
from gatewise.printable import printable

if TYPE_CHECKING:
    from gatewise.training.fit.progress import Finding, OnProgress, Progress

_SECONDS = 0.25
"""Time between two updates of the bar, which each are a message to the notebook."""


def in_notebook() -> bool:
    """Whether this code runs in the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    # A terminal's shell is another class.
    return type(shell).__name__ == "ZMQInteractiveShell" or "google.colab" in sys.modules


@contextmanager
def notebook_progress() -> "Iterator[OnProgress]":
    """A bar for the current stage with the results of the last epoch; findings are below it."""
    from IPython.display import HTML, display  # noqa: PLC0415 — a notebook's

    from gatewise.training.fit.progress import Finding  # noqa: PLC0415

    bar = display(HTML("reading the rows …"), display_id=True)
    shown_at, result = 0.0, ""

    def on_progress(progress: "Progress | Finding") -> None:
        nonlocal shown_at, result
        if isinstance(progress, Finding):
            sys.stdout.write(f"{printable(progress.message)}\n")
            return
        line, now = epoch_line(progress), time.monotonic()
        result = line or result
        if line or progress.step == progress.steps or now >= shown_at + _SECONDS:
            shown_at = now
            bar.update(HTML(_html(progress, result)))

    yield on_progress


def _html(progress: "Progress", result: str) -> str:
    return (
        f'<progress value="{progress.step}" max="{progress.steps}"></progress> '
        f"{escape(progress.stage)}: {progress.step:,} of {progress.steps:,}"
        f"{f'; {escape(result)}' if result else ''}"
    )
