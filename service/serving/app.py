"""The HTTP application: what it is made of, and the life of the models behind it.

Puts the rooms of `gatewise.service.serving.http` together, each with its routes. Knows nothing of
sockets and processes (`gatewise.service.serving.server`), nor of inference
(`gatewise.service.serving.model_registry`).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from gatewise.service.model.classifier import Classifier
from gatewise.service.serving.http.app_context import AppContext
from gatewise.service.serving.http.auth import authorization
from gatewise.service.serving.http.middleware import headers, tracing
from gatewise.service.serving.http.middleware.access_log import AccessLog
from gatewise.service.serving.http.middleware.concurrency_limit import ConcurrencyLimit
from gatewise.service.serving.http.middleware.headers import Cors
from gatewise.service.serving.http.middleware.request_context import request_context
from gatewise.service.serving.http.open_inference import routes as inference
from gatewise.service.serving.http.protocol import exception_handlers, openapi_errors, problems
from gatewise.service.serving.http.protocol.problems import Problem
from gatewise.service.serving.http.routes import explain, health, models, predict, prometheus
from gatewise.service.serving.http.routes.explain import ExplainRequest
from gatewise.service.serving.http.routes.models import Traffic
from gatewise.service.serving.http.routes.predict import Predict
from gatewise.service.serving.http.routes.predict_schemas import PredictRequest
from gatewise.service.serving.http.stream import stream_route
from gatewise.service.serving.http.web_ui import web_ui
from gatewise.service.serving.model_sources import ModelSource
from gatewise.service.serving.settings import Settings
from gatewise.vocab.errors import GatewiseError
from pydantic.json_schema import models_json_schema
from starlette.types import Receive, Scope, Send

_log = logging.getLogger(__name__)

_DESCRIPTION = "Classifies texts. Every error is a problem document, RFC 9457."


def create_app(settings: Settings | None = None, classifier: Classifier | None = None) -> FastAPI:
    """Builds the application: a factory that uvicorn can be given.

    Args:
        settings: The settings; taken from the `GATEWISE_*` variables if absent.
        classifier: The one model to serve; if absent those of the settings are loaded in the
            background once the application starts, and until then it is alive but not ready.

    Raises:
        SettingsError: If a setting is not valid, or neither a model nor its folder is given.
        KeysError: If the file of API keys cannot be used.
    """
    settings = settings or Settings()
    if classifier is None:
        return Application(AppContext.create(settings, settings.sources()))
    source = ModelSource("model", classifier.artifact.folder.path)
    return Application(AppContext.create(settings, [source], {source.name: classifier}))


class Application(FastAPI):
    """The service as an ASGI application.

    Args:
        context: What its routes share; they get it from `state.context`, by `app_context`.
    """

    def __init__(self, context: AppContext) -> None:
        super().__init__(
            title="Gatewise",
            description=_DESCRIPTION,
            lifespan=self._lifespan,
            redoc_url=None,
            swagger_ui_oauth2_redirect_url=None,
            # A redirect would answer a mistyped path with neither the route nor a problem.
            redirect_slashes=False,
        )
        self.context = self.state.context = context
        settings = context.settings
        self._complaints: dict[str, str | None] = {}
        self._predict = Predict(context, lambda: self._entrance.in_flight)
        for routes in (
            models.routes,
            predict.routes(self._predict),
            explain.routes(),
            stream_route.routes(context.streams),
            inference.routes,
            health.routes,
            prometheus.routes,
            web_ui.routes(),
        ):
            self.include_router(routes)
        exception_handlers.install(self)
        self.router.default = self._no_route
        gate = authorization.AuthMiddleware(self._inside, context.keys)
        inside = headers.wrap(gate, Cors(settings.origins()))
        self._end_traces: Callable[[], None] | None = None
        if settings.traces:
            inside, self._end_traces = tracing.wrap(inside)
        logged = AccessLog(inside, context.metrics.observe_request, access_log=settings.access_log)
        self._entrance = ConcurrencyLimit(logged, settings.max_requests, context.metrics.refused)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        await self._entrance(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, with the shapes that no route's signature tells."""
        if not self.openapi_schema:
            _, shapes = models_json_schema(
                [
                    (PredictRequest, "validation"),
                    (ExplainRequest, "validation"),
                    (Traffic, "validation"),
                    (Problem, "serialization"),
                    *((shape, "validation") for shape in inference.SHAPES),
                ],
                ref_template="#/components/schemas/{model}",
            )
            document = super().openapi()
            document["components"]["schemas"].update(shapes["$defs"])
            openapi_errors.take_out_frameworks_errors(document)
            authorization.describe(document, self.context.keys)
        return super().openapi()

    async def _inside(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/predict" and scope["method"] == "POST":
            await self._predict(scope, receive, send)
        else:
            try:
                await super().__call__(scope, receive, send)
            finally:
                request_context(scope).route = getattr(scope.get("route"), "path", "")

    async def _no_route(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers what is for no route; a WebSocket would else be refused without a reason."""
        if scope["type"] == "websocket":
            refusal = problems.response(scope["path"], problems.no_route(scope["path"]))
            await refusal(scope, receive, send)
        else:
            await self.router.not_found(scope, receive, send)

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._loading())]
        yield
        for task in tasks:
            task.cancel()
        await self.context.models.close()
        if self._end_traces:
            await asyncio.to_thread(self._end_traces)

    async def _loading(self) -> None:
        """Loads what is not loaded yet, then looks for new versions as often as is set."""
        models, settings = self.context.models, self.context.settings
        for name in models.names():
            if not models.model(name).served:
                await self._reload(name)
        while settings.watch_seconds:
            await asyncio.sleep(settings.watch_seconds)
            for name in models.names():
                await self._reload(name)

    async def reload(self) -> None:
        """Looks for new versions of every model."""
        self._complaints.clear()
        for name in self.context.models.names():
            await self._reload(name, again=True)

    async def _reload(self, name: str, *, again: bool = False) -> None:
        """Looks for a model's versions; what is wrong with them is logged once."""
        complaint: str | None = None
        try:
            await self.context.models.reload(name, again=again)
        except GatewiseError as error:
            complaint = str(error)
            if complaint != self._complaints.get(name):
                _log.error("the model %s could not be loaded: %s", name, error)
        except Exception:
            _log.exception("the model %s could not be loaded", name)
        self._complaints[name] = complaint
