"""Gatewise: `load` a model folder, `score_texts` in memory, `check` a corpus; and the command.

Imports are lazy, so that a command loads only what it uses.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gatewise.model import Model
    from gatewise.service.model.model_documents import Precision
    from gatewise.service.scoring.score_texts import score_texts as score_texts
    from gatewise.training.data.corpus_findings import CorpusCheck


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


def check(
    corpus: "str | Path",
    *,
    validation: "str | Path | None" = None,
    test: "str | Path | None" = None,
    settings: "Mapping[str, object] | None" = None,
) -> "CorpusCheck":
    """Checks a corpus before training, as `gatewise check` does; nothing is written.

    Args:
        corpus: The training rows: a data file, or a folder of them.
        validation: The validation rows; None splits a share off the training rows.
        test: The test rows, if there are any.
        settings: Settings by name, such as `{"corpus.text_column": "body"}`.

    Returns:
        The rows of each label, and the findings.

    Raises:
        GatewiseError: If a corpus cannot be read, or no model could be trained on it.
    """
    # Needs the extra `train`.
    import os  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    from gatewise.training.config.config import of_settings  # noqa: PLC0415
    from gatewise.training.data.corpora import Corpora  # noqa: PLC0415
    from gatewise.training.pipeline import check_corpus  # noqa: PLC0415
    from gatewise.vocab.errors import ArgumentError  # noqa: PLC0415

    for name, path in {"corpus": corpus, "validation": validation, "test": test}.items():
        if not (isinstance(path, str | os.PathLike) or (path is None and name != "corpus")):
            raise ArgumentError(
                f"{name}: expected the path of a data file or of a folder, received a value of "
                f"type {type(path).__name__}: write it to a file first"
            )
    others = (None if path is None else Path(path) for path in (validation, test))
    return check_corpus(Corpora(Path(corpus), *others), of_settings(settings or {}))


def __getattr__(name: str) -> object:
    if name == "score_texts":
        from gatewise.service.scoring.score_texts import score_texts  # noqa: PLC0415 — likewise

        return score_texts
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
