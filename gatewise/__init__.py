"""The front door: the `gatewise` command, `gatewise.load(folder)` and `gatewise.score_texts`.

Imports lazily, so that a command pulls in only what it uses.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from gatewise.model import Model
    from gatewise.service.model.model_documents import Precision
    from gatewise.service.scoring.score_texts import score_texts as score_texts


def load(
    folder: "str | Path", *, precision: "Precision | None" = None, threads: int = 1
) -> "Model":
    """Loads a model folder, every file of it checked, ready to classify texts and files.

    Args:
        folder: A model folder written by `gatewise train` or `gatewise export`, or a zip of one.
        precision: How the model's weights are stored: `fp32`, `fp16` or `int8`; None for the most
            exact that the folder has.
        threads: Threads that one call of the engine may use.

    Raises:
        gatewise.service.model.errors.ModelFolderError: If the folder is missing, damaged or
        foreign, or has no
            model in this precision.
    """
    from gatewise.model import Model  # noqa: PLC0415 — see the module's docstring

    return Model.load(folder, precision=precision, threads=threads)


def __getattr__(name: str) -> object:
    if name == "score_texts":
        from gatewise.service.scoring.score_texts import score_texts  # noqa: PLC0415 — likewise

        return score_texts
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
