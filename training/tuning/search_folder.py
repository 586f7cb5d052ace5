"""The folder of a search: its files, the settings it was started with, and the best model."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gatewise.training.config.config import Config
from gatewise.training.config.config_toml import to_toml
from gatewise.training.config.training_section import MINIMIZED
from gatewise.training.data.corpora import Corpora, Source
from gatewise.training.tuning import search_space
from gatewise.training.tuning.search_space import Space
from gatewise.training.tuning.study import SearchError, Study
from gatewise.training.workspace import workspace_of
from gatewise.vocab.atomic_files import atomic_write, replace_folder

_ANY_TIME = {"training": {"tensorboard", "mlflow"}}
"""Settings that may change when a search is resumed."""


class SearchFolder:
    """The paths of a search's folder.

    Attributes:
        journal: The record of the trials.
        best: The model folder of the best trial so far.
        config: The settings of that trial, for `gatewise train --config`.
        trials: Folder of the models in training.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = path / "study.journal"
        self.best = path / "best"
        self.config = path / "best.toml"
        self.trials = path / "trials"

    def model_of(self, number: int) -> Path:
        """The model folder of a trial, until the trial has ended."""
        return self.trials / str(number)


def open_search(
    folder: SearchFolder,
    corpora: Corpora,
    config: Config,
    space: Space,
    folds: int | None,
    *,
    resume: bool,
) -> Study:
    """The study of the search in a folder, new or resumed.

    Raises:
        SearchError: If the folder holds something else, or a search that is not to be resumed or
            that was started with other settings.
    """
    if folder.path.exists() and not folder.path.is_dir():
        raise SearchError(f"{folder.path}: expected a folder to write to, but it is a file")
    found = {path.name for path in folder.path.iterdir()} if folder.path.is_dir() else set()
    if found and not folder.journal.exists():
        raise SearchError(
            f"{folder.path}: expected an empty folder or that of an earlier search, but it holds "
            f"{min(found)!r}: name another folder",
            option="out",
        )
    folder.path.mkdir(parents=True, exist_ok=True)
    study = _study(folder, config, space)
    if study.is_blank:
        # Such as one whose corpus could not be read: it may start with other settings.
        folder.journal.unlink()
        study = _study(folder, config, space)
        study.identity = _identity(corpora, config, space, folds)
    elif not resume:
        raise SearchError(
            f"{folder.path}: holds a search that reached trial {len(study.trials)}: resume it, or "
            "name another folder",
            option="resume",
        )
    _check_identity(folder, study.identity, _identity(corpora, config, space, folds))
    return study


def _study(folder: SearchFolder, config: Config, space: Space) -> Study:
    minimize = config.training.metric in MINIMIZED
    return Study(folder.journal, space, config.training.seed, minimize=minimize)


def _identity(corpora: Corpora, config: Config, space: Space, folds: int | None) -> dict[str, Any]:
    """What must be the same for a search to be resumed."""
    settings = config.model_dump(mode="json", exclude=_ANY_TIME)
    validation = corpora.validation
    return {
        "the corpus": _place(corpora.train),
        "the validation corpus": _place(validation) if validation else "none",
        "the folds": folds or "auto",
        **{f"{name} in the space": search_space.as_json(d) for name, d in space.items()},
        **{
            f"{section}.{name}": value
            for section, values in settings.items()
            for name, value in values.items()
            if f"{section}.{name}" not in space
        },
    }


def _place(source: Source) -> str:
    return str(source.resolve() if isinstance(source, Path) else source)


def _check_identity(
    folder: SearchFolder, started: Mapping[str, Any], now: Mapping[str, Any]
) -> None:
    for name in {**started, **now}:
        before, after = started.get(name), now.get(name)
        if before != after:
            raise SearchError(
                f"{folder.path}: its search was started with another value of {name}: "
                f"{json.dumps(before, ensure_ascii=False)}, not "
                f"{json.dumps(after, ensure_ascii=False)}: set the same value, or name another "
                "folder",
                option="out",
            )


def tidy(folder: SearchFolder, study: Study, config: Config) -> None:
    """Moves the best model to its place and deletes the others.

    It runs when a search is resumed too, and so finishes what a killed search left half done. The
    checkpoint of the best trial stays, for its final training, and that of an interrupted one.
    """
    folder.trials.mkdir(exist_ok=True)
    best = study.best
    if best:
        trained = folder.model_of(best.number)
        if trained.exists():
            replace_folder(folder.best, trained, folder.trials / "replaced")
        with atomic_write(folder.config) as temporary:
            settings = search_space.applied(config, best.settings)
            temporary.write_text(to_toml(settings.without_places()), encoding="utf-8")
    numbers = (len(study.trials) + 1, *([best.number] if best else []))
    checkpoints = {workspace_of(folder.model_of(number)).path.name for number in numbers}
    for path in folder.trials.iterdir():
        if path.name not in checkpoints:
            shutil.rmtree(path)
    if not any(folder.trials.iterdir()):
        folder.trials.rmdir()
