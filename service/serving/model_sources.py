"""Where the models of a service come from: a name, a path, and the versions found there.

A path is a model folder (or a zip of one), which is one version named by its digest, or a folder
of model folders, each a version named as its folder is. Knows nothing of loading and of HTTP.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gatewise.service.model.errors import ModelFolderError
from gatewise.service.model.folder_reader import open_files
from gatewise.service.model.model_folder import MAX_MANIFEST_BYTES, ModelFolder
from gatewise.vocab.errors import GatewiseError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGITS_OF_VERSION = 12


class SourceError(GatewiseError):
    """A model that is named in a way that no address could."""


@dataclass(frozen=True, slots=True)
class FoundVersion:
    """A version as it is found on disk.

    Attributes:
        version: Its name.
        path: Its model folder, or the zip of it.
        sha256: The digest of its manifest.
    """

    version: str
    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model's name, and where its versions are.

    Attributes:
        name: The name, as it stands in an address.
        path: A model folder, a zip of one, or a folder of versions.
    """

    name: str
    path: Path

    def versions(self) -> list[FoundVersion]:
        """The versions there are, oldest first by their names, numbers in them by their value.

        Raises:
            ModelFolderError: If there is none.
        """
        if ModelFolder(self.path).manifest.is_file() or not self.path.is_dir():
            sha256 = _digest(self.path)
            return [FoundVersion(sha256[:_DIGITS_OF_VERSION], self.path, sha256)]
        found = list(self._inside())
        if not found:
            raise ModelFolderError(
                f"{self.path}: not a Gatewise model folder: it holds no manifest.json, and no "
                "folder in it does, which would be a version"
            )
        return sorted(found, key=lambda one: _natural(one.version))

    def _inside(self) -> Iterator[FoundVersion]:
        for entry in sorted(self.path.iterdir()):
            version = entry.name.removesuffix(".zip")
            if not _NAME.fullmatch(version):
                continue  # a folder that is being written has a name that is none
            if ModelFolder(entry).manifest.is_file() or entry.suffix == ".zip":
                try:
                    yield FoundVersion(version, entry, _digest(entry))
                except ModelFolderError:
                    # It may be half copied: it is a version as soon as it can be read.
                    continue


def sources(named: Iterable[str | Path]) -> tuple[ModelSource, ...]:
    """The models of a service, each as `PATH` or as `NAME=PATH`.

    A path without a name is called as its folder.

    >>> [one.name for one in sources(["models/spam", "topics=/srv/t"])]
    ['spam', 'topics']

    Raises:
        SourceError: If a name cannot stand in an address, or two models have one.
    """
    found: dict[str, ModelSource] = {}
    for one in named:
        name, equals, path = str(one).partition("=")
        if not equals or Path(one).exists():
            path = str(one)
            name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(path).resolve().stem).strip("-._")[:64]
            name = name or "model"
        if not _NAME.fullmatch(name):
            raise SourceError(
                f"{name!r} cannot name a model: expected letters, digits, '.', '_' and '-', 64 at "
                "most, the first a letter or a digit"
            )
        if name in found:
            raise SourceError(f"two models are called {name!r}: name them, as in {name}-2={path}")
        found[name] = ModelSource(name, Path(path))
    return tuple(found.values())


def split(paths: str) -> Sequence[str]:
    """What a variable names, several divided as in `PATH`: by `:`, or `;` on Windows."""
    return [paths] if Path(paths).exists() else [one for one in paths.split(os.pathsep) if one]


def _digest(path: Path) -> str:
    """The digest that loading would tell as `sha256`; nothing else is read or verified."""
    manifest = open_files(path).read(ModelFolder(path).manifest.name, MAX_MANIFEST_BYTES)
    return hashlib.sha256(manifest).hexdigest()


def _natural(version: str) -> list[tuple[int, str]]:
    """A key by which `10` comes after `9`."""
    parts = re.split(r"(\d+)", version)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
