"""Several models behind one application, as its routes ask for them by name."""

import json
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request

from service.app import create_app
from service.classifier import Classifier
from service.http import body, problems
from service.http.problems import ProblemError
from service.http.schemas import LabelScore, PredictParameters, PredictRequest, rank
from service.scores import apply
from service.settings import Settings

ServeModels = Callable[..., httpx.Client]


class StandIn:
    """Models by name, each with the version 1; the first answers where none is named."""

    def __init__(self, models: Mapping[str, Classifier]) -> None:
        self.models = dict(models)

    def find(self, name: str | None = None, version: str | None = None) -> SimpleNamespace:
        named = next(iter(self.models)) if name is None else name
        if named not in self.models or version not in (None, "1"):
            raise ProblemError(problems.NO_MODEL, f"no model {name!r}")
        return SimpleNamespace(name=named, version="1", classifier=self.models[named])


routes = APIRouter()


@routes.get("/models")
async def models(request: Request) -> dict[str, Any]:
    names = list(request.app.state.models.models)
    versions = [{"version": "1", "state": "ready", "traffic": 1.0}]
    return {
        "models": [
            {"name": name, "default": name == names[0], "versions": versions} for name in names
        ]
    }


@routes.post("/models/{name}/predict")
async def predict(request: Request, name: str) -> list[list[LabelScore]]:
    classifier = request.app.state.models.find(name).classifier
    asked = await body.read(request, PredictRequest, request.app.state.settings.max_body_bytes)
    parameters = asked.parameters or PredictParameters()
    encoded = classifier.encode(asked.texts)
    if encoded[0].is_empty:
        raise problems.empty_texts(["#/inputs"])
    probabilities = apply(classifier.score_function, classifier.logits(encoded))
    thresholds = classifier.thresholds if parameters.above_threshold else None
    none = classifier.none_labels(probabilities)
    return rank(classifier.classes_, probabilities, parameters.top_k, thresholds, none)


@pytest.fixture(scope="module")
def serve_models(serve_app: Callable[[Any], httpx.Client]) -> ServeModels:
    """Serves models by their names, to those who have the key if there is one."""

    def serve(
        models: Mapping[str, Classifier], *, key: str = "", settings: Settings | None = None
    ) -> httpx.Client:
        app = create_app(settings or Settings(), next(iter(models.values())))
        app.state.models = StandIn(models)
        app.include_router(routes)
        return serve_app(locked(app, key) if key else app)

    return serve


def locked(app: FastAPI, key: str) -> Callable[..., Any]:
    """An application that answers 401 below /models without a key."""
    wanted = (b"authorization", f"Bearer {key}".encode())

    async def asked(scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if not path.startswith("/models") or wanted in scope["headers"]:
            await app(scope, receive, send)
            return
        answer = json.dumps({"type": "urn:gatewise:problem:unauthorized", "detail": "no key"})
        kind = (b"content-type", b"application/problem+json")
        await send({"type": "http.response.start", "status": 401, "headers": [kind]})
        await send({"type": "http.response.body", "body": answer.encode()})

    return asked
