"""What the tests of the Open Inference Protocol share: an application with models behind it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fastapi import FastAPI

from service.app import create_app
from service.classifier import Classifier
from service.engine import Engine, Scored
from service.http import problems
from service.http.problems import Kind, ProblemError
from service.scores import ScoreFunction
from service.settings import Settings

UNKNOWN = Kind("unknown-model", 404, "There is no such model")


@dataclass
class StandingInServed:
    """One version of a model."""

    name: str
    version: str
    classifier: Classifier
    engine: Engine

    async def scores(
        self, texts: Sequence[str], function_to_apply: ScoreFunction | None = None
    ) -> Scored:
        return await self.engine.scores(texts, function_to_apply)


@dataclass
class StandingInModels:
    """A few models with two versions each, and one that is still being loaded."""

    served: dict[str, list[StandingInServed]] = field(default_factory=dict)
    loading: set[str] = field(default_factory=set)

    def find(self, name: str | None = None, version: str | None = None) -> StandingInServed:
        if name in self.loading or (name is None and not self.served):
            raise ProblemError(problems.NOT_READY, "being loaded", headers={"Retry-After": "1"})
        for each in reversed(self.served.get(name or next(iter(self.served)), [])):
            if version in (None, each.version):
                return each
        raise ProblemError(UNKNOWN, f"no model {name!r} with a version {version!r}")

    def names(self) -> list[str]:
        return [*self.served, *self.loading]

    def versions(self, name: str) -> list[str]:
        return [each.version for each in self.served[name]]


MakeApp = Callable[..., FastAPI]


@pytest.fixture(scope="session")
def make_app(classifier: Classifier, multi_label_folder: Path, rejecting_folder: Path) -> MakeApp:
    """Makes an application with the models `languages`, `colours` and `rejecting`."""
    folders = {"colours": multi_label_folder, "rejecting": rejecting_folder}
    classifiers = {"languages": classifier} | {
        name: Classifier.load(folder) for name, folder in folders.items()
    }

    def make(settings: Settings | None = None, loading: Sequence[str] = ()) -> FastAPI:
        app = create_app(settings or Settings(), classifier)
        app.state.models = StandingInModels(
            {
                name: [
                    StandingInServed(name, version, each, Engine(each)) for version in ("1", "2")
                ]
                for name, each in classifiers.items()
            },
            set(loading),
        )
        return app

    return make
