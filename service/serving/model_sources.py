"""The sources of models: a name, a path, and the versions found there.

A path is a model folder or a zip of one, which is one version, named by its digest; or a folder of
model folders and zips, each a version with the name of its folder.
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
    """A name of a model is invalid in a URL, or occurs twice."""


@dataclass(frozen=True, slots=True)
class FoundVersion:
    """A version on disk."""

    version: str
    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class ModelSource:
    """The name of a model and the path of its versions."""

    name: str
    path: Path

    def versions(self) -> list[FoundVersion]:
        """Returns the versions on disk, oldest first: by name, numbers in names by value."""
        if ModelFolder(self.path).manifest.is_file() or not self.path.is_dir():
            sha256 = _digest(self.path)
            return [FoundVersion(sha256[:_DIGITS_OF_VERSION], self.path, sha256)]
        found = list(self._inside())
        if not found:
            raise ModelFolderError(
                f"{self.path}: not a Gatewise model folder: it holds no manifest.json, and neither "
                "does a folder in it, which would be a version"
            )
        return sorted(found, key=lambda version: _natural(version.version))

    def _inside(self) -> Iterator[FoundVersion]:
        for entry in sorted(self.path.iterdir()):
            version = entry.name.removesuffix(".zip")
            if not _NAME.fullmatch(version):
                continue  # such as a folder that is still being written
            if ModelFolder(entry).manifest.is_file() or entry.suffix == ".zip":
                try:
                    yield FoundVersion(version, entry, _digest(entry))
                except ModelFolderError:
                    # It may be partly copied: it counts as soon as it can be read.
                    continue


def sources(named: Iterable[str | Path]) -> tuple[ModelSource, ...]:
    """Parses the models of a service, each written as `PATH` or `NAME=PATH`.

    A model without a name gets the name of its folder.

    >>> [source.name for source in sources(["models/spam", "topics=/srv/t"])]
    ['spam', 'topics']
    """
    found: dict[str, ModelSource] = {}
    for argument in named:
        name, equals, path = str(argument).partition("=")
        if not equals or Path(argument).exists():
            path = str(argument)
            name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(path).resolve().stem).strip("-._")[:64]
            name = name or "model"
        if not _NAME.fullmatch(name):
            raise SourceError(
                f"{name!r} cannot name a model: expected at most 64 letters, digits, '.', '_' and "
                "'-', the first a letter or a digit"
            )
        if name in found:
            raise SourceError(
                f"two models have the name {name!r}: name them, as in {name}-2={path}"
            )
        found[name] = ModelSource(name, Path(path))
    return tuple(found.values())


def split(paths: str) -> Sequence[str]:
    """Splits the value of a variable as in `PATH`: at `:`, or at `;` on Windows."""
    return [paths] if Path(paths).exists() else [path for path in paths.split(os.pathsep) if path]


def _digest(path: Path) -> str:
    """Returns the digest of the manifest; nothing else is read or verified."""
    manifest = open_files(path).read(ModelFolder(path).manifest.name, MAX_MANIFEST_BYTES)
    return hashlib.sha256(manifest).hexdigest()


def _natural(version: str) -> list[tuple[int, str]]:
    """Returns a sort key by which `10` comes after `9`."""
    parts = re.split(r"(\d+)", version)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
