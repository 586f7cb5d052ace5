"""A script of this folder in a process of its own: one framework, or one peak of memory, each.

Knows nothing of what the scripts measure.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


class FailedError(Exception):
    """A process that was to measure something did not."""


def last_line(script: str, arguments: Sequence[str], patience: float | None = None) -> str:
    """The last line that a script prints.

    The process has the Gatewise that this checkout holds.

    Args:
        script: Its name.
        arguments: What it is given.
        patience: Seconds after which it is ended; None for no bound.

    Raises:
        FailedError: If it failed; with the last line of what it said.
    """
    path = [str(FOLDER.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        ended = subprocess.run(
            [sys.executable, str(FOLDER / script), *arguments],
            capture_output=True,
            text=True,
            timeout=patience,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise FailedError(f"not done after {patience:.0f} s") from None
    if ended.returncode:
        said = ended.stderr.strip().splitlines() or [f"ended with {ended.returncode}"]
        raise FailedError(said[-1])
    return ended.stdout.strip().splitlines()[-1]
