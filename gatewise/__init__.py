"""The front door: the `gatewise` command and `gatewise.load(folder)`.

Imports lazily, so that a command pulls in only what it uses.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from service.classifier import Classifier


def load(folder: "str | Path", *, threads: int = 1) -> "Classifier":
    """Loads a model folder, every file of it checked, ready to classify.

    Args:
        folder: A model folder written by `gatewise train`, or a zip of one.
        threads: Threads that one call of the engine may use.

    Raises:
        service.errors.ModelFolderError: If the folder is missing, damaged or foreign.
    """
    from service.classifier import Classifier  # noqa: PLC0415 — see the module's docstring

    return Classifier.load(folder, threads=threads)
