"""`train`: the run of `gatewise train` and of `gatewise.train`, from their arguments to a model."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gatewise.inputs import bad_rows_policy, check_outputs
from gatewise.model import Model
from gatewise.service.model.model_folder import check_target
from gatewise.sources import (
    are_numbers,
    names_of_columns,
    pair_source,
    source_of,
    with_weights,
)
from gatewise.training.config.config import Config, of_settings
from gatewise.training.config.teacher_section import is_url
from gatewise.training.data.corpora import Corpora, columns_of
from gatewise.training.earlier_model import EarlierModel
from gatewise.training.fit.progress import Finding, OnProgress
from gatewise.training.pipeline import train as run_training
from gatewise.training.tracking.track import tracking
from gatewise.vocab.corpus.columns import PROBABILITY_PREFIX, WEIGHT
from gatewise.vocab.corpus.memory_records import MemoryTable
from gatewise.vocab.errors import ArgumentError, CorpusError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gatewise.training.data.corpora import Source

Shown = bool | Callable[..., None] | None
"""How progress is shown: as `gatewise.train` takes it."""


def train(
    texts: object,
    labels: object = None,
    *,
    settings: "Mapping[str, object]",
    validation: object = None,
    test: object = None,
    out: str | os.PathLike[str] | None = None,
    rejects: str | os.PathLike[str] | None = None,
    config: str | os.PathLike[str] | None = None,
    start_from: Model | str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: Shown = None,
    sample_weight: object = None,
    with_report: bool = True,
) -> Model:
    """Trains a model; the arguments are those of `gatewise.train`, and those of the pipeline."""
    run_config, corpora = prepare(texts, labels, validation, test, settings, config, sample_weight)
    aside = None if rejects is None else Path(rejects)
    with ExitStack() as opened:
        temporary = None if out is not None else opened.enter_context(_kept_if_whole())
        target = temporary / "model" if temporary else Path(out or "")
        sources: list[Source | None] = [corpora.train, corpora.validation, corpora.test]
        of_teacher = (*run_config.teacher.folders, *run_config.teacher.unlabelled)
        check_outputs(
            [*(source for source in sources if isinstance(source, Path)), *of_teacher],
            {"out": target, "rejects": aside},
        )
        check_target(target)
        earlier = None if start_from is None else _earlier_model(start_from)
        bad_rows = opened.enter_context(bad_rows_policy(aside))
        on_progress = opened.enter_context(reporting(progress))
        track = opened.enter_context(tracking(run_config, target, resume=resume))
        report = track.also(on_progress)
        try:
            trained = run_training(
                corpora,
                target,
                run_config,
                bad_rows,
                report,
                resume=resume,
                earlier=earlier,
                with_report=with_report,
            )
        finally:
            free_session()
        track.ended(trained.run)
        if track.trouble:
            on_progress(Finding(track.trouble))
        model = Model.load(target)
        model.trained = trained
        if temporary:
            model.remove_with_it(temporary)
    return model


def prepare(
    texts: object,
    labels: object,
    validation: object,
    test: object,
    settings: "Mapping[str, object]",
    config: str | os.PathLike[str] | None = None,
    sample_weight: object = None,
) -> tuple[Config, Corpora]:
    """The settings and the corpora of a run."""
    run_config = of_settings(named_teacher(settings), None if config is None else Path(config))
    if names := _named_numbers(labels, run_config):
        run_config = run_config.changed("corpus", label_column=",".join(names))
    columns = run_config.corpus.columns()
    train = source_of(texts, labels, columns, "training rows")
    if labels is not None and isinstance(train, MemoryTable):
        if columns.task == "auto" and are_numbers(train, columns):
            run_config = run_config.changed("corpus", task="regression")
        if columns.probability_prefix is None and _is_soft(train):
            run_config = run_config.changed("corpus", probability_prefix=PROBABILITY_PREFIX)
    columns = run_config.corpus.columns()
    if isinstance(validation, tuple) or isinstance(test, tuple):
        # Labels in memory are of the task of the training rows, whatever they look like.
        columns = replace(columns, task=columns_of(train, run_config).task)
    others = (
        pair_source(rows, columns, f"{part} rows")
        for part, rows in (("validation", validation), ("test", test))
    )
    if sample_weight is not None:
        if columns.weight is not None:
            raise ArgumentError(
                "sample_weight and weight_column: expected one of them: leave the other out"
            )
        weighted = with_weights(train, sample_weight)
        if weighted is not train:
            train = weighted
            run_config = run_config.changed("corpus", weight_column=WEIGHT)
    return run_config, Corpora(train, *others)


def named_teacher(settings: "Mapping[str, object]") -> "Mapping[str, object]":
    """Settings with the section `teacher` where a caller named a folder or the URL of one alone."""
    teacher = settings.get("teacher")
    if not isinstance(teacher, str | os.PathLike):
        return settings
    is_endpoint = is_url(os.fspath(teacher))
    return {**settings, "teacher": {"url": teacher} if is_endpoint else {"folders": [teacher]}}


def _named_numbers(labels: object, config: Config) -> tuple[str, ...]:
    """The names of several numbers that a table beside the texts gives, and the settings do not."""
    if config.corpus.task != "regression" or config.corpus.label_column is not None:
        return ()
    names = names_of_columns(labels)
    for name in names:
        if "," in name or name != name.strip():
            raise CorpusError(
                f"labels: expected columns whose names have no comma and no space at an end, "
                f"received {name!r}: rename it"
            )
    return names


def _is_soft(source: MemoryTable) -> bool:
    """Whether the labels of rows in memory are probabilities."""
    return any(name.startswith(PROBABILITY_PREFIX) for name in source.columns)


def _earlier_model(start_from: Model | str | os.PathLike[str]) -> EarlierModel:
    model = start_from if isinstance(start_from, Model) else Model.load(Path(start_from))
    return EarlierModel.of(model, model.metrics)


def free_session() -> None:
    """Frees what TensorFlow keeps of the networks of a run."""
    # Unless the run ended before it imported TensorFlow.
    if "tensorflow" in sys.modules:
        from gatewise.training.fit.devices import free_session  # noqa: PLC0415

        free_session()


@contextmanager
def _kept_if_whole() -> Iterator[Path]:
    """A temporary folder, which an error removes."""
    folder = Path(tempfile.mkdtemp(prefix="gatewise-"))
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def reporting(progress: Shown) -> Iterator[OnProgress]:
    """The callback that shows progress."""
    # The console imports rich, which a run that shows nothing does without.
    from gatewise.console.notebook_progress import in_notebook, notebook_progress  # noqa: PLC0415
    from gatewise.console.training_console import fitting_progress, is_terminal  # noqa: PLC0415

    if callable(progress):
        yield progress
    elif progress is False or not (progress or in_notebook() or is_terminal()):
        yield lambda _: None
    else:
        with notebook_progress() if in_notebook() else fitting_progress() as on_progress:
            yield on_progress
