"""The front door: the `gatewise` command and `gatewise.load(folder)`.

Imports lazily, so that a command pulls in only what it uses.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from service.classifier import Classifier
    from service.layout import Precision


def load(
    folder: "str | Path", *, precision: "Precision | None" = None, threads: int = 1
) -> "Classifier":
    """Loads a model folder, every file of it checked, ready to classify.

    Args:
        folder: A model folder written by `gatewise train` or `gatewise export`, or a zip of one.
        precision: How the model's weights are stored: `fp32`, `fp16` or `int8`; None for the most
            exact that the folder has.
        threads: Threads that one call of the engine may use.

    Raises:
        service.errors.ModelFolderError: If the folder is missing, damaged or foreign, or has no
            model in this precision.
    """
    from service.classifier import Classifier  # noqa: PLC0415 — see the module's docstring

    return Classifier.load(folder, precision=precision, threads=threads)
