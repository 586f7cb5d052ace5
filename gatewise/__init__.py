"""Gatewise: `load` a model folder, `score_texts` in memory, and the `gatewise` command.

Imports are lazy, so that a command loads only what it uses.
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
    """Loads a model folder and verifies every file of it.

    Args:
        folder: A model folder written by `gatewise train` or `gatewise export`, or a zip of one.
        precision: `fp32`, `fp16` or `int8` weights; None for the most exact in the folder.
        threads: Threads of one call of onnxruntime.

    Raises:
        ModelFolderError: If the folder is missing, damaged or foreign, or has no model in this
            precision.
    """
    from gatewise.model import Model  # noqa: PLC0415 — see the module's docstring

    return Model.load(folder, precision=precision, threads=threads)


def __getattr__(name: str) -> object:
    if name == "score_texts":
        from gatewise.service.scoring.score_texts import score_texts  # noqa: PLC0415 — likewise

        return score_texts
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
