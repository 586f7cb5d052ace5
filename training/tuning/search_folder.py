"""The folder of a search: what is in it, what it was begun with, and the best model's place in it.

Knows no training; what a search that was killed left half done is done here when it goes on.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatewise.training.config.config import Config
from gatewise.training.config.config_toml import to_toml
from gatewise.training.data.corpora import Corpora
from gatewise.training.tuning import search_space
from gatewise.training.tuning.search_space import Space
from gatewise.training.tuning.study import Study
from gatewise.training.tuning.trial import SearchError
from gatewise.vocab.atomic_files import atomic_write, replace_folder

_ANY_TIME = {"training": {"tensorboard", "mlflow"}}
"""Settings that a search may change as it goes on."""


@dataclass(frozen=True)
class Place:
    """The folder of a search.

    Attributes:
        path: The folder itself.
    """

    path: Path

    @property
    def journal(self) -> Path:
        """The record of the trials."""
        return self.path / "study.journal"

    @property
    def best(self) -> Path:
        """The model folder of the best trial so far."""
        return self.path / "best"

    @property
    def config(self) -> Path:
        """The settings of that trial, as `gatewise train --config` takes them."""
        return self.path / "best.toml"

    @property
    def trials(self) -> Path:
        """Folder of the models that are under way."""
        return self.path / "trials"


def opened(place: Place, corpora: Corpora, config: Config, space: Space, *, resume: bool) -> Study:
    """The record of the search in a folder, begun or gone on with.

    Raises:
        SearchError: If the folder holds something else, or a search that is not to be gone on
            with, or that was begun with something else.
    """
    if place.path.exists() and not place.path.is_dir():
        raise SearchError(f"{place.path}: expected a folder to write to, but it is a file")
    found = {path.name for path in place.path.iterdir()} if place.path.is_dir() else set()
    if found and not place.journal.exists():
        raise SearchError(
            f"{place.path}: expected an empty folder or that of an earlier search, but it holds "
            f"{min(found)!r}: name another folder",
            option="out",
        )
    place.path.mkdir(parents=True, exist_ok=True)
    study = _study(place, config, space)
    if study.is_blank:
        # Such as one whose corpus could not be read: whatever it was begun with, nothing is lost.
        place.journal.unlink()
        study = _study(place, config, space)
        study.identity = _identity(corpora, config, space)
    elif not resume:
        raise SearchError(
            f"{place.path}: holds a search that reached trial {len(study.trials)}: resume it, or "
            "name another folder",
            option="resume",
        )
    _check_identity(place, study.identity, _identity(corpora, config, space))
    return study


def _study(place: Place, config: Config, space: Space) -> Study:
    minimize = config.training.metric == "loss"
    return Study(place.journal, space, config.training.seed, minimize=minimize)


def _identity(corpora: Corpora, config: Config, space: Space) -> dict[str, Any]:
    """What must be the same for a search to go on."""
    settings = config.model_dump(mode="json", exclude=_ANY_TIME)
    searched = space.as_dict()
    return {
        "the corpus": str(corpora.train.resolve()),
        "the validation corpus": str(corpora.validation.resolve())
        if corpora.validation
        else "none",
        **{f"{name} in the space": values for name, values in searched.items()},
        **{
            f"{section}.{name}": value
            for section, values in settings.items()
            for name, value in values.items()
            if f"{section}.{name}" not in searched
        },
    }


def _check_identity(place: Place, begun: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for name in {**begun, **now}:
        if begun.get(name) != now.get(name):
            raise SearchError(
                f"{place.path}: its search was begun with another value of {name}: "
                f"{_told(begun, name)}, not {_told(now, name)}: use the same, or name another "
                "folder",
                option="out",
            )


def _told(identity: Mapping[str, Any], name: str) -> str:
    return json.dumps(identity[name], ensure_ascii=False) if name in identity else "none"


def tidy(place: Place, study: Study, config: Config) -> None:
    """Puts the best model in its place, and takes away what is not needed any more.

    Whatever a search that was killed left half done is done when it goes on.
    """
    place.trials.mkdir(exist_ok=True)
    best = study.best
    if best:
        trained = place.trials / str(best.number)
        if trained.exists():
            replace_folder(place.best, trained, place.trials / "replaced")
        with atomic_write(place.config) as temporary:
            settings = search_space.applied(config, best.settings)
            temporary.write_text(to_toml(settings.without_places()), encoding="utf-8")
    checkpoint = f"{len(study.trials) + 1}.run"  # of a trial that was interrupted
    for path in place.trials.iterdir():
        if path.name != checkpoint:
            shutil.rmtree(path)
    if not any(place.trials.iterdir()):
        place.trials.rmdir()
