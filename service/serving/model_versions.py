"""The versions of one model, and which of them answers a request.

Knows their shares of the requests; neither how a version is loaded nor how it answers.
"""

import asyncio
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gatewise.service.serving.model_sources import ModelSource
from gatewise.service.serving.served_model import ServedModel
from gatewise.vocab.errors import GatewiseError

# Multiples of it modulo 1 are spread as evenly as can be: shares hold of a few requests too.
_GOLDEN = 0.6180339887498949


class UnknownModelError(GatewiseError):
    """A model, or a version of one, that the service does not have."""


class NotReadyError(GatewiseError):
    """A model that has no version yet that could answer."""


class InUseError(GatewiseError):
    """A change that would leave a model without a version that answers."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be done with the versions of a model.

    Attributes:
        action: To `reload` what is new on disk, to `load` a version that was unloaded, to `unload`
            one, or to `share` the requests.
        model: The model.
        version: The version, to load or unload.
        shares: The part of each version, to share; None gives all to the newest.
    """

    action: Literal["reload", "load", "unload", "share"]
    model: str
    version: str = ""
    shares: Mapping[str, float] | None = None


class ModelVersions:
    """One model: its versions, and which of them answers.

    Attributes:
        source: Its name, and where its versions are.
        served: The versions that answer, oldest first.
        failed: ModelVersions that were found and do not, with the digest that was tried and the
        reason.
        shares: What part of the requests that name no version each one gets; None where the
            newest gets all.
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
        """The share of each version that answers; they add up to 1."""
        if not self.served:
            return {}
        given = {one: self.shares.get(one, 0.0) for one in self.served} if self.shares else {}
        total = sum(given.values())
        if not total:
            return {one: float(one == self.newest.version) for one in self.served}
        return {one: share / total for one, share in given.items()}

    @property
    def newest(self) -> ServedModel:
        """The newest version, whatever its share.

        Raises:
            NotReadyError: If there is none.
        """
        if not self.served:
            raise NotReadyError(f"the model {self.source.name!r} is being loaded")
        return next(reversed(self.served.values()))

    def choose(self) -> ServedModel:
        """The version whose turn it is.

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
        """A version by its name.

        Raises:
            UnknownModelError: If it does not answer.
        """
        try:
            return self.served[version]
        except KeyError:
            known = ", ".join(self.served) or "none"
            raise UnknownModelError(
                f"{self.source.name!r} has no version {version!r:.200}: expected one of {known}"
            ) from None
