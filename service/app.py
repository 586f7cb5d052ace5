"""The HTTP application: its routes, and the life of the model behind them.

Owns what is asked where and which refusal follows from what. Knows nothing of sockets and
processes (`service.server`), of JSON shapes (`service.http.schemas`) or of inference
(`service.engine`).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.types import ASGIApp

from service.classifier import Classifier
from service.engine import EmptyTextsError, Engine
from service.http import access, body, description, headers, inference, problems
from service.http.headers import Cors
from service.http.keys import Keys
from service.http.problems import ErrorPlace, Problem, ProblemError, pointer
from service.http.schemas import LabelScore, PredictParameters, PredictRequest, rank
from service.settings import Settings

_DESCRIPTION = "Classifies texts. Every error is a problem document, RFC 9457."

_NO_THRESHOLDS = ErrorPlace(
    detail="expected no above_threshold: this model gives every text exactly one label",
    pointer=pointer(("parameters", "above_threshold")),
)

routes = APIRouter()


class Health(BaseModel):
    """That a health check has passed."""

    status: str


def create_app(settings: Settings | None = None, classifier: Classifier | None = None) -> FastAPI:
    """Builds the application; `uvicorn --factory service.app:create_app` takes it as it is.

    Args:
        settings: The settings; taken from the `GATEWISE_*` variables if absent.
        classifier: The model; if absent it is loaded from the settings' folder in the background
            once the application starts, and until then the service is alive but not ready.

    Raises:
        SettingsError: If a setting is not valid, or neither a model nor its folder is given.
        KeysError: If the file of API keys cannot be used.
    """
    settings = settings or Settings()
    engine = Engine(classifier)
    folder = None if classifier else settings.model_folder()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loading = folder and asyncio.create_task(engine.load(folder, settings.threads))
        yield
        if loading:
            loading.cancel()
        engine.close()

    app = _Application(
        title="Gatewise",
        description=_DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        # A redirect would answer a mistyped path with neither the route nor a problem document.
        redirect_slashes=False,
    )
    app.state.settings = settings
    app.state.engine = engine
    app.state.keys = Keys(settings.api_keys_file)
    app.state.cors = Cors(settings.origins())
    app.include_router(routes)
    app.include_router(inference.routes)
    problems.install(app)
    return app


@routes.post(
    "/predict",
    summary="Classify texts",
    openapi_extra=body.openapi(PredictRequest),
    responses=problems.responses(
        *body.PROBLEMS, problems.INVALID_REQUEST, problems.EMPTY_TEXT, problems.NOT_READY
    ),
)
async def predict(request: Request) -> list[list[LabelScore]]:
    """Answers one list a text, in the order of the texts, its labels best first."""
    settings: Settings = request.app.state.settings
    engine = _ready_engine(request)
    asked = await body.read(request, PredictRequest, settings.max_body_bytes)
    if len(asked.texts) > settings.max_texts:
        detail = f"expected at most {settings.max_texts} texts, received {len(asked.texts)}"
        raise problems.invalid_request([ErrorPlace(detail=detail, pointer=pointer(("inputs",)))])
    parameters = asked.parameters or PredictParameters()
    thresholds = engine.thresholds if parameters.above_threshold else None
    if parameters.above_threshold and thresholds is None:
        raise problems.invalid_request([_NO_THRESHOLDS])
    try:
        answer = await engine.scores(asked.texts, parameters.function_to_apply)
    except EmptyTextsError as error:
        raise _empty_texts(asked, error.indices) from None
    return rank(engine.labels, answer.scores, parameters.top_k, thresholds, answer.none)


@routes.get("/health/live", summary="Whether the process answers")
async def live() -> Health:
    """Answers as soon as the process does, with or without a model."""
    return Health(status="live")


@routes.get(
    "/health/ready",
    summary="Whether texts can be classified",
    responses=problems.responses(problems.NOT_READY),
)
async def ready(request: Request) -> Health:
    """Answers 200 once the model is loaded."""
    _ready_engine(request)
    return Health(status="ready")


class _Application(FastAPI):
    """FastAPI, told of what it does not see in a route's signature, and of headers for all."""

    def build_middleware_stack(self) -> ASGIApp:
        # Around everything, as no middleware of FastAPI's is: an unexpected error has them too.
        gate = access.Gate(super().build_middleware_stack(), self.state.keys)
        return headers.wrap(gate, self.state.cors)

    def openapi(self) -> dict[str, Any]:
        if not self.openapi_schema:
            _, shapes = models_json_schema(
                [
                    (PredictRequest, "validation"),
                    (Problem, "serialization"),
                    *((shape, "validation") for shape in inference.SHAPES),
                ],
                ref_template="#/components/schemas/{model}",
            )
            document = super().openapi()
            document["components"]["schemas"].update(shapes["$defs"])
            description.take_out_frameworks_errors(document)
            access.describe(document, self.state.keys)
        return super().openapi()


def _ready_engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    if not engine.is_ready:
        raise ProblemError(
            problems.NOT_READY,
            "the model is being loaded: ask again, and look at the log if this lasts",
            headers={"Retry-After": "1"},
        )
    return engine


def _empty_texts(asked: PredictRequest, indices: tuple[int, ...]) -> ProblemError:
    places = [pointer(asked.location(index)) for index in indices]
    detail = "expected a text with at least one token: an empty text has no class"
    return ProblemError(
        problems.EMPTY_TEXT,
        f"{places[0]}: {detail}",
        [ErrorPlace(detail=detail, pointer=place) for place in places],
    )
