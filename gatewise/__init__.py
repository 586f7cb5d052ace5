"""Gatewise: `train` and `load` a model, `score_texts` in memory; the command.

`check` and `audit` look for faults of a corpus, `suggest` for texts to label next, and
`label` has a teacher label them.

Imports are lazy, so that a command loads only what it uses.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from gatewise.label_texts import TeacherLabels
    from gatewise.model import Model
    from gatewise.service.model.model_documents import Precision
    from gatewise.service.scoring.score_texts import score_texts as score_texts
    from gatewise.training.data.corpus_findings import CorpusCheck
    from gatewise.training.labelling.audit import Audit
    from gatewise.training.labelling.suggestions import Suggestion


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


def train(
    texts: object,
    labels: object = None,
    *,
    sample_weight: object = None,
    validation: object = None,
    test: object = None,
    out: "str | os.PathLike[str] | None" = None,
    rejects: "str | os.PathLike[str] | None" = None,
    config: "str | os.PathLike[str] | None" = None,
    start_from: "Model | str | os.PathLike[str] | None" = None,
    resume: bool = False,
    progress: "bool | Callable[..., None] | None" = None,
    **settings: object,
) -> "Model":
    """Trains a classifier, or a model that predicts a number, as `gatewise train` does.

    Args:
        texts: The texts: a list, an array, a column of a data frame. Without labels: a path, as the
            command takes it, or a data frame with the columns `text` and `label`, `labels` or
            `value`, or those that `text_column` and `label_column` name.
        labels: The labels of the texts: strings, integers or booleans. For several labels a text:
            lists of labels, or a matrix of zeros and ones with a column for each label. Rows of
            probabilities, with a column for each label, are soft labels. A matrix without names
            numbers its labels from 0. Floats that are not all whole are numbers to predict;
            `task="regression"` says so of others, and of a matrix of several numbers a text.
        sample_weight: The weight of each text, by which its loss is multiplied in training: 0
            leaves it out, and only the ratios of weights matter. Metrics count every row the same.
        validation: Rows that choose the best epoch: a path, a data frame, or a pair of texts and
            labels. None holds a share of the training rows out.
        test: Rows to report on at the end, likewise; nothing is chosen by them.
        out: The model folder to write; an earlier one is replaced. None writes a temporary folder,
            which lives as long as the model: see `Model.save`.
        rejects: A file for rows that cannot be used; without it such a row ends the run.
        config: Settings as TOML, which the other settings override.
        start_from: An earlier model, or its folder, whose weights the training starts from. Its
            dictionary gets the new words, and the model has the labels of both.
        resume: Whether to continue a run that was stopped; it needs the same `out`.
        progress: Whether to show progress on standard error, or a function to call with each
            `Progress` and `Finding` instead; None shows a bar in a notebook and on a terminal.
        settings: Settings by name, such as `epochs=3`, or in a dict for each section, such as
            `network={"units": 32}`. `teacher` may also be the folder of the teacher, or the URL of
            an endpoint.

    Raises:
        GatewiseError: If the rows or the settings cannot be used, a `ValueError` too; or if the
            folder cannot be written.
    """
    # Needs the extra `train`.
    from gatewise.train_model import train  # noqa: PLC0415

    return train(
        texts,
        labels,
        settings=settings,
        sample_weight=sample_weight,
        validation=validation,
        test=test,
        out=out,
        rejects=rejects,
        config=config,
        start_from=start_from,
        resume=resume,
        progress=progress,
    )


def check(
    texts: object,
    labels: object = None,
    *,
    validation: object = None,
    test: object = None,
    config: "str | os.PathLike[str] | None" = None,
    **settings: object,
) -> "CorpusCheck":
    """Checks a corpus before training, as `gatewise check` does; nothing is written.

    Args:
        texts: The training rows, as `train` takes them: a path, a data frame, or the texts.
        labels: The labels of the texts.
        validation: The validation rows; None splits a share off the training rows.
        test: The test rows, if there are any.
        config: Settings as TOML, which the other settings override.
        settings: Settings by name, such as `text_column="body"`.

    Returns:
        The rows of each label, and the findings.

    Raises:
        GatewiseError: If a corpus cannot be read, or no model could be trained on it.
    """
    # Needs the extra `train`.
    from gatewise.train_model import prepare  # noqa: PLC0415
    from gatewise.training.pipeline import check_corpus  # noqa: PLC0415

    run_config, corpora = prepare(texts, labels, validation, test, settings, config)
    return check_corpus(corpora, run_config)


def label(
    texts: object,
    labels: "Sequence[str]",
    *,
    out: "str | os.PathLike[str] | None" = None,
    rejects: "str | os.PathLike[str] | None" = None,
    config: "str | os.PathLike[str] | None" = None,
    progress: "bool | Callable[..., None] | None" = None,
    **settings: object,
) -> "TeacherLabels":
    """Labels texts by a teacher, as `gatewise label` does.

    Args:
        texts: The texts: a list, an array, a column of a data frame, or a path.
        labels: The names of the labels.
        out: A file to write, in the format of its suffix: a corpus with the columns `text`,
            `label`, and `probability_<label>` for each label.
        rejects: A file for rows that cannot be used and texts that get no label; without it the
            former end the call, and the latter have no label in `out`.
        config: Settings as TOML, which the other settings override.
        progress: As in `train`.
        settings: Settings by name: `teacher`, the URL of a language model's endpoint or a Gatewise
            model folder; `model`, the name of the endpoint's model; `cache`, the folder in which
            its answers are kept, by default one beside `out`.

    Returns:
        The texts, their labels and the probabilities.

    Raises:
        GatewiseError: If the texts, the labels or the teacher cannot be used.
    """
    # Needs the extras `train` and, for an endpoint, `teacher`.
    from gatewise.label_texts import label  # noqa: PLC0415

    return label(
        texts,
        labels,
        settings=settings,
        out=out,
        rejects=rejects,
        config=config,
        progress=progress,
    )


def audit(
    texts: object,
    labels: object = None,
    *,
    validation: object = None,
    test: object = None,
    rejects: "str | os.PathLike[str] | None" = None,
    config: "str | os.PathLike[str] | None" = None,
    **settings: object,
) -> "Audit":
    """Looks for wrong labels, as `gatewise audit` does; nothing is written but by `Audit.save`.

    Args:
        texts: The rows to audit, as `train` takes training rows: a path, a data frame, or the
            texts.
        labels: The labels of the texts.
        validation: The validation rows, in which copies of the others are looked for.
        test: The test rows, likewise.
        rejects: A file for rows that cannot be used; without it such a row ends the audit.
        config: Settings as TOML, which the other settings override.
        settings: Settings by name, such as `text_column="body"`.

    Returns:
        Every row with its doubt, the most doubtful first; copies and confused labels.

    Raises:
        GatewiseError: If the rows or the settings cannot be used.
    """
    from pathlib import Path  # noqa: PLC0415 — likewise

    # Needs the extra `audit`.
    from gatewise.inputs import bad_rows_policy  # noqa: PLC0415
    from gatewise.train_model import free_session, prepare  # noqa: PLC0415
    from gatewise.training.labelling.audit import audit  # noqa: PLC0415

    run_config, corpora = prepare(texts, labels, validation, test, settings, config)
    with bad_rows_policy(None if rejects is None else Path(rejects)) as bad_rows:
        try:
            return audit(corpora, run_config, bad_rows)
        finally:
            free_session()


def suggest(
    model: "str | Path | Model", texts: "Iterable[object]", n: int = 100
) -> "list[Suggestion]":
    """Chooses which texts to label next, as `gatewise suggest` does.

    Args:
        model: A model, or the folder of one.
        texts: Texts without labels.
        n: How many texts to choose, at most.

    Returns:
        The texts of which most is to be learnt, the first one first: those the model is unsure of,
        and that differ from each other. The same texts give the same choice.

    Raises:
        GatewiseError: If the model cannot be loaded, or a text is missing.
    """
    from gatewise.model import Model  # noqa: PLC0415 — likewise
    from gatewise.service.model.texts import checked_texts  # noqa: PLC0415
    from gatewise.training.labelling.suggestions import suggest  # noqa: PLC0415

    loaded = model if isinstance(model, Model) else Model.load(model)
    return suggest(loaded, checked_texts(texts), n)


def __getattr__(name: str) -> object:
    if name == "score_texts":
        from gatewise.service.scoring.score_texts import score_texts  # noqa: PLC0415 — likewise

        return score_texts
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
