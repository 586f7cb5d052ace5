"""The versions of one model, and the choice among them by their traffic shares."""

import asyncio
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gatewise.service.serving.model_sources import ModelSource
from gatewise.service.serving.served_model import ServedModel
from gatewise.vocab.errors import GatewiseError

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
    """A change of the versions of a model.

    Attributes:
        action: `reload` from disk, `load` an unloaded version, `unload` a version, or `share` the
            requests among the versions.
        model: The model.
        version: The version to load or unload.
        shares: The shares, by version; None sends all requests to the newest version.
    """

    action: Literal["reload", "load", "unload", "share"]
    model: str
    version: str = ""
    shares: Mapping[str, float] | None = None


class ModelVersions:
    """The versions of one model.

    Attributes:
        source: The model's name and path.
        served: The loaded versions, oldest first.
        failed: The versions that could not be loaded, each with its digest and the reason.
        shares: The share of each version in the requests that name no version; None if the newest
            version gets all.
        unwanted: The versions that were unloaded on request.
        changing: Held while the versions change.
    """

    def __init__(self, source: ModelSource) -> None:
        self.source = source
        self.served: dict[str, ServedModel] = {}
        self.failed: dict[str, tuple[str, str]] = {}
        self.shares: dict[str, float] | None = None
        self.unwanted: set[str] = set()
        self.changing = asyncio.Lock()
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
    def newest(self) -> ServedModel:
        """The newest loaded version, whatever its share.

        Raises:
            NotReadyError: If there is none.
        """
        if not self.served:
            raise NotReadyError(f"the model {self.source.name!r} is being loaded")
        return next(reversed(self.served.values()))

    def choose(self) -> ServedModel:
        """Returns the version that answers the next request.

        Raises:
            NotReadyError: If there is none.
        """
        if self.shares is None or not self.served:
            return self.newest
        point = next(self._turn) * _GOLDEN % 1
        for version, share in self.traffic.items():
            point -= share
            if point < 0:
                return self.served[version]
        return self.newest

    def version(self, version: str) -> ServedModel:
        """Returns a loaded version by its name.

        Raises:
            UnknownModelError: If it is not loaded.
        """
        try:
            return self.served[version]
        except KeyError:
            known = ", ".join(self.served) or "none"
            raise UnknownModelError(
                f"{self.source.name!r} has no version {version!r:.200}: expected one of {known}"
            ) from None
