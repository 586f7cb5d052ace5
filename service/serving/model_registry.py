"""The models that a service answers with: their versions loaded, exchanged, shared, unloaded.

A version is loaded and warmed up beside the one that answers, and takes its place only then; one
that cannot be loaded changes nothing. A version that goes answers what it has taken first. Knows
where versions are found (`sources`) and how one answers (`served`); knows no HTTP.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.errors import ModelFolderError
from gatewise.service.serving.batching_jobs import MetricsObserver
from gatewise.service.serving.model_sources import FoundVersion, ModelSource
from gatewise.service.serving.model_versions import (
    Change,
    InUseError,
    ModelVersions,
    UnknownModelError,
)
from gatewise.service.serving.served_model import Capacity, ServedModel
from gatewise.vocab.errors import GatewiseError

_log = logging.getLogger(__name__)


class ModelMetricsObserver(Protocol):
    """Whoever counts what happens to models."""

    def of(self, name: str, version: str) -> MetricsObserver:
        """Who counts what a version does."""

    def loaded(self, name: str, result: str) -> None:
        """A version was `loaded`, or `failed` to be."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What became of the versions of a model.

    Attributes:
        loaded: ModelVersions that answer since.
        unloaded: ModelVersions that no longer do.
        failed: ModelVersions that could not be loaded, with the reason.
    """

    loaded: tuple[str, ...] = ()
    unloaded: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)


class ModelRegistry:
    """All models of a service; the first is the one that answers where none is named.

    Args:
        sources: Where they are.
        capacity: What each version may take at a time.
        threads: Threads that one call of onnxruntime may use.
        watcher: Who counts what happens.
    """

    def __init__(
        self,
        sources: Sequence[ModelSource],
        capacity: Capacity,
        *,
        threads: int = 1,
        watcher: ModelMetricsObserver | None = None,
    ) -> None:
        self._models = {source.name: ModelVersions(source) for source in sources}
        self._capacity = capacity
        self._threads = threads
        self._watcher = watcher

    @property
    def default(self) -> str:
        """The model that answers where none is named."""
        return next(iter(self._models))

    @property
    def is_ready(self) -> bool:
        """Whether every model has a version that answers."""
        return all(model.served for model in self._models.values())

    def names(self) -> list[str]:
        """The names of the models, the default one first."""
        return list(self._models)

    def versions(self, name: str) -> list[str]:
        """The versions of a model that answer, oldest first.

        Raises:
            UnknownModelError: If there is no such model.
        """
        return list(self.model(name).served)

    def model(self, name: str) -> ModelVersions:
        """A model by its name.

        Raises:
            UnknownModelError: If there is no such model.
        """
        try:
            return self._models[name]
        except KeyError:
            known = ", ".join(self._models)
            raise UnknownModelError(f"no model {name!r:.200}: expected one of {known}") from None

    def find(self, name: str | None = None, version: str | None = None) -> ServedModel:
        """The version that a request is for.

        Args:
            name: The model; None for the default one.
            version: The version; None for the one whose turn it is.

        Raises:
            UnknownModelError: If there is no such model or version.
            NotReadyError: If the model has no version yet.
        """
        model = self.model(self.default if name is None else name)
        return model.choose() if version is None else model.version(version)

    def add(self, name: str, version: str, classifier: Classifier) -> ServedModel:
        """Serves a classifier that is loaded already, at once.

        Raises:
            UnknownModelError: If there is no such model.
        """
        served = self._served(name, version, classifier)
        self.model(name).served[version] = served
        return served

    def load(self, name: str) -> None:
        """Loads a model's versions before anything is served; one is enough.

        Raises:
            UnknownModelError: If there is no such model.
            ModelFolderError: If nothing is found there, or none of what is found can be loaded.
        """
        model = self.model(name)
        found = model.source.versions()
        for one in found:
            try:
                self._put(model, self._load(name, one), [each.version for each in found])
            except ModelFolderError as error:
                if len(found) == 1:
                    raise
                model.failed[one.version] = (one.sha256, self._failure(name, one, error))
        if not model.served:
            raise ModelFolderError(f"{model.source.path}: none of its versions can be loaded")

    async def change(self, change: Change, *, followed: bool = False) -> Changes:
        """Does what a change asks for.

        Args:
            change: The change.
            followed: Whether another process did it before, when there may have been versions that
                are gone since.

        Raises:
            UnknownModelError: If there is no such model or version.
            InUseError: If the model would have no version left that gets requests.
            ModelFolderError: If nothing is found where its versions are.
        """
        if change.action == "share":
            self.share(change.model, change.shares, checked=not followed)
            return Changes()
        if change.action == "unload":
            await self.unload(change.model, change.version)
            return Changes(unloaded=(change.version,))
        return await self.reload(change.model, [change.version] if change.version else [])

    async def reload(self, name: str, wanted: Iterable[str] = (), *, again: bool = True) -> Changes:
        """Looks where a model's versions are: loads what is new, unloads what is gone.

        Args:
            name: The model.
            wanted: ModelVersions that were unloaded before and shall be loaded again.
            again: Whether to try again what has failed before and is the same.

        Raises:
            UnknownModelError: If there is no such model.
            ModelFolderError: If nothing is found there; everything then stays as it is.
        """
        model = self.model(name)
        async with model.changing:
            found = await asyncio.to_thread(model.source.versions)
            order = [one.version for one in found]
            model.unwanted -= set(wanted)
            loaded: list[str] = []
            failed: dict[str, tuple[str, str]] = {}
            for one in found:
                before = model.served.get(one.version)
                if one.version in model.unwanted or (before and before.sha256 == one.sha256):
                    continue
                tried = model.failed.get(one.version)
                if tried and tried[0] == one.sha256 and not again:
                    failed[one.version] = tried
                    continue
                try:
                    served = await asyncio.to_thread(self._load, name, one)
                except Exception as error:  # whatever it was, the version before goes on
                    failed[one.version] = (one.sha256, self._failure(name, one, error))
                    continue
                loaded.append(one.version)
                self._put(model, served, order)
                _log.info("serving version %s of %s", one.version, name)
                if before:
                    await before.close()
            model.failed = failed
            gone = self._gone(model, order)
            for version in gone:
                await self._unload(model, version)
        return Changes(tuple(loaded), tuple(gone), {one: why for one, (_, why) in failed.items()})

    async def unload(self, name: str, version: str) -> None:
        """Takes a version out of service and frees its memory, until it is asked for again.

        Raises:
            UnknownModelError: If it is not served.
            InUseError: If the model would have no version left, or none with a share.
        """
        model = self.model(name)
        async with model.changing:
            model.version(version)
            rest = set(model.served) - {version}
            if not rest or (model.shares and not any(model.shares.get(one) for one in rest)):
                raise InUseError(
                    f"the version {version!r} is the only one of {name!r} that gets requests: "
                    "load another one first, or give one a share"
                )
            model.unwanted.add(version)
            await self._unload(model, version)

    def share(self, name: str, shares: Mapping[str, float] | None, *, checked: bool = True) -> None:
        """Sets what part of the requests each version gets.

        Args:
            name: The model.
            shares: Parts, of whatever sum; a version that is not named gets none. None gives all
                to the newest.
            checked: Whether a version that is not served is refused.

        Raises:
            UnknownModelError: If there is no such model or version.
        """
        model = self.model(name)
        for version in (shares or ()) if checked else ():
            model.version(version)
        model.shares = dict(shares) if shares else None

    async def close(self) -> None:
        """Answers what was taken, and lets every version go."""
        for model in self._models.values():
            for served in model.served.values():
                await served.close()

    def _load(self, name: str, found: FoundVersion) -> ServedModel:
        classifier = Classifier.load(found.path, threads=self._threads)
        served = self._served(name, found.version, classifier)
        served.warm_up()
        return served

    def _served(self, name: str, version: str, classifier: Classifier) -> ServedModel:
        watcher = self._watcher.of(name, version) if self._watcher else None
        return ServedModel(name, version, classifier, self._capacity, watcher)

    def _gone(self, model: ModelVersions, found: Sequence[str]) -> list[str]:
        """The versions to unload: those no longer found, if one that is found answers."""
        if not any(version in model.served for version in found):
            return []
        return [version for version in model.served if version not in found]

    def _put(self, model: ModelVersions, served: ServedModel, order: Sequence[str]) -> None:
        """Lets a version answer, in its place among the others."""
        versions = {**model.served, served.version: served}
        # Those that are no longer found stand first: they are about to go.
        places = {version: place for place, version in enumerate(order)}
        ordered = sorted(versions, key=lambda version: places.get(version, -1))
        model.served = {version: versions[version] for version in ordered}
        if self._watcher:
            self._watcher.loaded(model.source.name, "loaded")

    async def _unload(self, model: ModelVersions, version: str) -> None:
        served = model.served.pop(version)
        await served.close()
        _log.info("version %s of %s is no longer served", version, model.source.name)

    def _failure(self, name: str, found: FoundVersion, error: Exception) -> str:
        known = isinstance(error, GatewiseError)
        reason = str(error) if known else f"an unexpected error: {type(error).__name__}"
        _log.error(
            "version %s of %s cannot be loaded: %s",
            found.version,
            name,
            reason,
            exc_info=None if known else error,
        )
        if self._watcher:
            self._watcher.loaded(name, "failed")
        return reason
