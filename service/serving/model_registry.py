"""The model registry: loads, replaces, weights and unloads the versions of each model.

A new version is loaded and warmed up before it replaces another one; a version that cannot be
loaded changes nothing. A version that is unloaded first answers the texts in its queue.
"""

import asyncio
import itertools
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from gatewise.service.model.cascade import NoCascadeError
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.errors import ModelFolderError
from gatewise.service.serving.batching import Capacity, MetricsObserver
from gatewise.service.serving.model_sources import FoundVersion, ModelSource
from gatewise.service.serving.served_model import ServedModel
from gatewise.vocab.errors import GatewiseError

_log = logging.getLogger(__name__)

# The fractional parts of its multiples are evenly spread, so that the shares hold for a few
# requests too.
_GOLDEN = 0.6180339887498949


class UnknownModelError(GatewiseError):
    """The service has no such model or version."""


class NotReadyError(GatewiseError):
    """The model has no loaded version yet."""


class InUseError(GatewiseError):
    """The change would leave a model without a version that gets requests."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the versions of a model."""

    # `reload` from disk, `load` an unloaded version, `unload` a version, or `share` the
    # requests among the versions.
    action: Literal["reload", "load", "unload", "share"]
    model: str
    version: str = ""  # to load or unload
    # The shares, by version; None sends all requests to the newest version.
    shares: Mapping[str, float] | None = None


class ModelVersions:
    """The versions of one model."""

    def __init__(self, source: ModelSource) -> None:
        self.source = source
        self.served: dict[str, ServedModel] = {}  # the loaded versions, oldest first
        # The versions that could not be loaded, each with its digest and the reason.
        self.failed: dict[str, tuple[str, str]] = {}
        # The share of each version in the requests that name no version; None if the
        # newest version gets all.
        self.shares: dict[str, float] | None = None
        self.unwanted: set[str] = set()  # the versions that were unloaded on request
        self.changing = asyncio.Lock()  # held while the versions change
        self._turn = itertools.count()

    @property
    def traffic(self) -> dict[str, float]:
        """The share of each loaded version; they sum to 1."""
        if not self.served:
            return {}
        shares = {version: (self.shares or {}).get(version, 0.0) for version in self.served}
        total = sum(shares.values())
        if not total:
            return {version: float(version == self.newest.version) for version in self.served}
        return {version: share / total for version, share in shares.items()}

    @property
    def unavailable(self) -> dict[str, str]:
        """The versions that could not be loaded and are not served, with the reasons."""
        return {
            version: reason
            for version, (_, reason) in self.failed.items()
            if version not in self.served
        }

    @property
    def newest(self) -> ServedModel:
        """The newest loaded version, whatever its share."""
        if not self.served:
            raise NotReadyError(f"the model {self.source.name!r} is being loaded")
        return next(reversed(self.served.values()))

    def choose(self) -> ServedModel:
        """Returns the version that answers the next request."""
        if self.shares is None or not self.served:
            return self.newest
        point = next(self._turn) * _GOLDEN % 1
        for version, share in self.traffic.items():
            point -= share
            if point < 0:
                return self.served[version]
        return self.newest

    def version(self, version: str) -> ServedModel:
        """Returns a loaded version by its name."""
        try:
            return self.served[version]
        except KeyError:
            known = ", ".join(self.served) or "none"
            raise UnknownModelError(
                f"{self.source.name!r} has no version {version!r:.200}: expected one of {known}"
            ) from None


class ModelMetricsObserver(Protocol):
    """Counts loads, and makes the observer of each version."""

    def for_version(self, name: str, version: str, labels: Sequence[str]) -> MetricsObserver:
        """Returns the observer of a version, which predicts these labels."""

    def count_load(self, name: str, result: str) -> None:
        """A version was `loaded`, or `failed` to load."""


@dataclass(frozen=True, slots=True)
class Changes:
    """The result of a change."""

    loaded: tuple[str, ...] = ()
    unloaded: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)  # versions with the reasons


class ModelRegistry:
    """The models of a service; the first source is the default model."""

    def __init__(
        self,
        sources: Sequence[ModelSource],
        capacity: Capacity,
        *,
        threads: int = 1,
        cascade: bool = False,
        observer: ModelMetricsObserver | None = None,
    ) -> None:
        self._models = {source.name: ModelVersions(source) for source in sources}
        self._capacity = capacity
        self._threads = threads
        self._cascade = cascade
        self._observer = observer

    @property
    def default(self) -> str:
        """The name of the default model."""
        return next(iter(self._models))

    @property
    def is_ready(self) -> bool:
        """Whether every model has a loaded version."""
        return all(model.served for model in self._models.values())

    def names(self) -> list[str]:
        """Returns the names of the models, the default model first."""
        return list(self._models)

    def versions(self, name: str) -> list[str]:
        """Returns the names of a model's loaded versions, oldest first."""
        return list(self.model(name).served)

    def model(self, name: str) -> ModelVersions:
        """Returns a model by its name."""
        try:
            return self._models[name]
        except KeyError:
            known = ", ".join(self._models)
            raise UnknownModelError(f"no model {name!r:.200}: expected one of {known}") from None

    def find(self, name: str | None = None, version: str | None = None) -> ServedModel:
        """Returns the version that answers a request.

        Without a name it is one of the default model, without a version the shares choose.
        """
        model = self.model(self.default if name is None else name)
        return model.choose() if version is None else model.version(version)

    def add(self, name: str, version: str, classifier: Classifier) -> ServedModel:
        """Adds a classifier that is loaded already."""
        served = self._served(name, version, classifier)
        self.model(name).served[version] = served
        return served

    def load(self, name: str) -> None:
        """Loads a model's versions before the service starts; it starts if one of them loads."""
        model = self.model(name)
        found = model.source.versions()
        order = [candidate.version for candidate in found]
        for candidate in found:
            try:
                self._put(model, self._load(name, candidate), order)
            except ModelFolderError as error:
                if len(found) == 1:
                    raise
                reason = self._failure(name, candidate, error)
                model.failed[candidate.version] = (candidate.sha256, reason)
        if not model.served:
            raise ModelFolderError(f"{model.source.path}: none of its versions can be loaded")

    async def change(self, change: Change, *, followed: bool = False) -> Changes:
        """Applies a change; a followed one was applied by another process first.

        It may then name versions that are gone since.
        """
        if change.action == "share":
            self.share(change.model, change.shares, check=not followed)
            return Changes()
        if change.action == "unload":
            await self.unload(change.model, change.version)
            return Changes(unloaded=(change.version,))
        return await self.reload(change.model, [change.version] if change.version else [])

    async def reload(self, name: str, wanted: Iterable[str] = (), *, again: bool = True) -> Changes:
        """Loads versions that are new on disk or wanted again, and unloads those that are gone.

        With `again`, versions that failed before and have not changed are tried again. If there is
        no version on disk, that is an error, and the loaded ones stay.
        """
        model = self.model(name)
        async with model.changing:
            found = await asyncio.to_thread(model.source.versions)
            order = [candidate.version for candidate in found]
            model.unwanted -= set(wanted)
            loaded: list[str] = []
            failed: dict[str, tuple[str, str]] = {}
            for candidate in found:
                version, sha256 = candidate.version, candidate.sha256
                before = model.served.get(version)
                if version in model.unwanted or (before and before.sha256 == sha256):
                    continue
                former_failure = model.failed.get(version)
                if former_failure and former_failure[0] == sha256 and not again:
                    failed[version] = former_failure
                    continue
                try:
                    served = await asyncio.to_thread(self._load, name, candidate)
                except Exception as error:  # whatever it is, the former version stays
                    failed[version] = (sha256, self._failure(name, candidate, error))
                    continue
                loaded.append(version)
                self._put(model, served, order)
                _log.info("serving version %s of %s", version, name)
                if before:
                    await before.close()
            model.failed = failed
            gone = self._gone(model, order)
            for version in gone:
                await self._unload(model, version)
        reasons = {version: reason for version, (_, reason) in failed.items()}
        return Changes(tuple(loaded), tuple(gone), reasons)

    async def unload(self, name: str, version: str) -> None:
        """Unloads a version, until `reload` gets it as `wanted`."""
        model = self.model(name)
        async with model.changing:
            model.version(version)
            rest = set(model.served) - {version}
            if not rest or (model.shares and not any(map(model.shares.get, rest))):
                raise InUseError(
                    f"the version {version!r} is the only one of {name!r} that gets requests: "
                    "load another version first, or set a share for another one"
                )
            model.unwanted.add(version)
            await self._unload(model, version)

    def share(self, name: str, shares: Mapping[str, float] | None, *, check: bool = True) -> None:
        """Sets the share of each version in the requests that name no version.

        Shares have any sum; None sends all requests to the newest version. Without `check` they may
        name versions that are not loaded.
        """
        model = self.model(name)
        for version in (shares or ()) if check else ():
            model.version(version)
        model.shares = dict(shares) if shares else None

    async def close(self) -> None:
        """Closes every version, once it has answered the texts in its queue."""
        for model in self._models.values():
            for served in model.served.values():
                await served.close()

    def _load(self, name: str, found: FoundVersion) -> ServedModel:
        classifier = Classifier.load(found.path, threads=self._threads)
        try:
            served = self._served(name, found.version, classifier)
        except NoCascadeError as error:
            raise ModelFolderError(f"{found.path}: {error}") from None
        served.warm_up()
        return served

    def _served(self, name: str, version: str, classifier: Classifier) -> ServedModel:
        observer = None
        if self._observer:
            none = [classifier.none_label] if classifier.none_label else []
            labels = [*none, *classifier.classes_]
            observer = self._observer.for_version(name, version, labels)
        return ServedModel(
            name, version, classifier, self._capacity, observer, cascade=self._cascade
        )

    def _gone(self, model: ModelVersions, found: Sequence[str]) -> list[str]:
        """Returns the versions to unload: those no longer on disk, if one on disk is loaded."""
        if not any(version in model.served for version in found):
            return []
        return [version for version in model.served if version not in found]

    def _put(self, model: ModelVersions, served: ServedModel, order: Sequence[str]) -> None:
        """Adds a version, in its place among the others."""
        versions = {**model.served, served.version: served}
        # Those that are no longer on disk come first: they are about to be unloaded.
        places = {version: place for place, version in enumerate(order)}
        ordered = sorted(versions, key=lambda version: places.get(version, -1))
        model.served = {version: versions[version] for version in ordered}
        if self._observer:
            self._observer.count_load(model.source.name, "loaded")

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
        if self._observer:
            self._observer.count_load(name, "failed")
        return reason
