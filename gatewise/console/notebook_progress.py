"""A progress bar in a notebook, by tqdm as notebooks have it."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gatewise.console.training_console import epoch_line
from gatewise.printable import printable

if TYPE_CHECKING:
    from gatewise.training.fit.progress import Finding, OnProgress, Progress


def in_notebook() -> bool:
    """Whether this code runs in the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    # A terminal's shell is another class.
    return type(shell).__name__ == "ZMQInteractiveShell" or "google.colab" in sys.modules


@contextmanager
def notebook_progress() -> "Iterator[OnProgress]":
    """A bar over updates with the results of the last epoch; findings are written below it."""
    from gatewise.training.fit.progress import Finding  # noqa: PLC0415

    with warnings.catch_warnings():
        # Without ipywidgets the bar is a line of text, which is good enough.
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm  # noqa: PLC0415

        bar: Any = tqdm(desc="fitting", unit=" updates", leave=True)

    def on_progress(progress: "Progress | Finding") -> None:
        if isinstance(progress, Finding):
            bar.write(printable(progress.message))
            return
        if progress.steps != bar.total:
            bar.reset(total=progress.steps)
        bar.update(progress.step - bar.n)
        if line := epoch_line(progress):
            bar.set_postfix_str(line)

    try:
        yield on_progress
    finally:
        bar.close()
