"""The HTTP application: its routes, middleware and OpenAPI document; it loads the models."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from gatewise.service.model.classifier import Classifier
from gatewise.service.serving.http import audit_log
from gatewise.service.serving.http.app_context import AppContext
from gatewise.service.serving.http.auth import authorization
from gatewise.service.serving.http.auth.rate_limit import RateLimit
from gatewise.service.serving.http.middleware import headers, tracing
from gatewise.service.serving.http.middleware.access_log import AccessLog, request_context
from gatewise.service.serving.http.middleware.concurrency_limit import ConcurrencyLimit
from gatewise.service.serving.http.middleware.root_path import strip
from gatewise.service.serving.http.open_inference import routes as inference
from gatewise.service.serving.http.open_inference import triton_extensions
from gatewise.service.serving.http.open_inference.inference_schemas import InferError
from gatewise.service.serving.http.open_inference.triton_extensions import RepositoryIndexRequest
from gatewise.service.serving.http.protocol import exception_handlers, problems
from gatewise.service.serving.http.protocol.problems import INVALID_REQUEST, Problem
from gatewise.service.serving.http.routes import explain, models, monitoring, predict
from gatewise.service.serving.http.routes.explain import ExplainRequest
from gatewise.service.serving.http.routes.models import Traffic
from gatewise.service.serving.http.routes.predict import Predict, PredictRequest
from gatewise.service.serving.http.stream import stream_route
from gatewise.service.serving.http.web_ui import web_ui
from gatewise.service.serving.model_registry import Change
from gatewise.service.serving.model_sources import ModelSource
from gatewise.service.serving.settings import Settings
from gatewise.vocab.errors import GatewiseError

_log = logging.getLogger(__name__)

_REPEAT_SECONDS = 1.0
"""Seconds between two updates of the metrics, and between two sweeps of slow connections."""

_DESCRIPTION = "Classifies texts. Every error is a problem document, RFC 9457."


def create_app(settings: Settings | None = None, classifier: Classifier | None = None) -> FastAPI:
    """Builds the application, as a factory for any ASGI server.

    Args:
        settings: The settings; from the `GATEWISE_*` variables if absent.
        classifier: The one model to serve. If absent, the models of the settings are loaded in the
            background once the application starts; until then it is live but not ready.

    Raises:
        SettingsError: If a setting is invalid, or there is neither a classifier nor a model folder.
        KeysError: If the file of API keys cannot be used.
    """
    settings = settings or Settings()
    if classifier is None:
        return Application(AppContext.create(settings, settings.sources()))
    source = ModelSource("model", classifier.artifact.folder.path)
    return Application(AppContext.create(settings, [source], {source.name: classifier}))


async def repeat(work: Callable[[], None], name: str) -> None:
    """Does some work regularly, as long as the server runs.

    An error does not end it; of each type of error, the first is logged.
    """
    logged: set[type[Exception]] = set()
    while True:
        try:
            work()
        except Exception as error:
            if type(error) not in logged:
                logged.add(type(error))
                _log.exception("%s failed, and is tried again every %g s", name, _REPEAT_SECONDS)
        await asyncio.sleep(_REPEAT_SECONDS)


class Application(FastAPI):
    """The service as an ASGI application."""

    def __init__(self, context: AppContext) -> None:
        super().__init__(
            title="Gatewise",
            description=_DESCRIPTION,
            lifespan=self._lifespan,
            docs_url=None,
            redoc_url=None,
            servers=[{"url": root_path}] if (root_path := context.settings.root_path) else None,
            # A redirect would answer a mistyped path with neither the route nor a problem.
            redirect_slashes=False,
        )
        self.context = self.state.context = context
        self._logged_errors: dict[str, str] = {}
        self._predict = Predict(context)
        self._routers = (
            models.routes,
            predict.routes(self._predict),
            explain.routes(),
            stream_route.routes,
            inference.routes,
            triton_extensions.routes,
            monitoring.routes,
            web_ui.routes(),
        )
        for routes in self._routers:
            self.include_router(routes)
        exception_handlers.install(self)
        self.router.default = self._no_route
        self._end_traces: Callable[[], None] | None = None
        self._outermost = self._add_middleware(self._dispatch)
        self._entry: ASGIApp = self._outermost
        if root_path:
            self._entry = strip(self._outermost, root_path)

    def _add_middleware(self, app: ASGIApp) -> ConcurrencyLimit:
        """Puts the middleware around the routes, from the innermost to the outermost."""
        context, settings = self.context, self.context.settings
        limit = RateLimit(settings.key_requests_per_second)
        app = authorization.AuthMiddleware(app, context.keys, limit, self._route_of)
        app = headers.wrap(app, settings.origins())
        if settings.traces:
            app, self._end_traces = tracing.wrap(app)
        app = AccessLog(app, context.metrics.observe_request, access_log=settings.access_log)
        return ConcurrencyLimit(app, settings.max_requests, context.metrics.refused)

    @property
    def in_flight(self) -> int:
        """The number of requests in flight."""
        return self._outermost.in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        await self._entry(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """Returns the OpenAPI document, with the schemas that no route's signature shows."""
        if not self.openapi_schema:
            _, schemas = models_json_schema(
                [
                    (PredictRequest, "validation"),
                    (ExplainRequest, "validation"),
                    (Traffic, "validation"),
                    (RepositoryIndexRequest, "validation"),
                    (Problem, "serialization"),
                    (InferError, "serialization"),
                    *((schema, "validation") for schema in inference.SCHEMAS),
                ],
                ref_template="#/components/schemas/{model}",
            )
            document = super().openapi()
            document["components"]["schemas"].update(schemas["$defs"])
            _remove_framework_errors(document)
            authorization.describe(document, self.context.keys)
        return super().openapi()

    def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Calls `/predict` directly, as FastAPI's routing takes longer than a short text."""
        if scope["type"] == "http" and scope["path"] == "/predict" and scope["method"] == "POST":
            return self._predict(scope, receive, send)
        return self._route(scope, receive, send)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Calls a route of FastAPI's."""
        context = request_context(scope)
        if scope.get("method") == "HEAD":
            # RFC 9110, section 9.3.2: the answer to a GET without its body, which the server does
            # not send, for the scope that it keeps has the method.
            scope = {**scope, "method": "GET"}
        try:
            await super().__call__(scope, receive, send)
        finally:
            context.route = getattr(scope.get("route"), "path", "")

    def _route_of(self, scope: Scope) -> str:
        """Returns the route that a request would have, or nothing."""
        for router in self._routers:
            for route in router.routes:
                match, _ = route.matches(scope)
                if match is not Match.NONE:
                    return getattr(route, "path", "")
        return ""

    async def _no_route(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request without a route; the router would give a WebSocket no reason."""
        if scope["type"] == "websocket":
            refusal = problems.response(scope["path"], problems.no_route(scope["path"]))
            await refusal(scope, receive, send)
        else:
            await self.router.not_found(scope, receive, send)

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        # Metrics that are counted later, and gauges: another process may show them.
        metrics = repeat(self.context.update_gauges, "updating the metrics")
        tasks = [asyncio.create_task(work) for work in (self._load_models(), metrics)]
        yield
        for task in tasks:
            task.cancel()
        _log.info("drained: %d requests are unanswered", self.in_flight)
        await self.context.models.close()
        self.context.metrics.count()  # other processes show it
        if self._end_traces:
            await asyncio.to_thread(self._end_traces)

    async def _load_models(self) -> None:
        """Loads the models that are not loaded yet, then checks for new versions regularly."""
        models, settings = self.context.models, self.context.settings
        for name in models.names():
            if not models.model(name).served:
                await self._reload(name)
        while settings.watch_seconds:
            await asyncio.sleep(settings.watch_seconds)
            for name in models.names():
                await self._reload(name, by="watch")

    async def reload(self) -> None:
        """Loads new versions of every model, on SIGHUP."""
        self._logged_errors.clear()
        for name in self.context.models.names():
            await self._reload(name, by="SIGHUP", again=True)

    async def _reload(self, name: str, by: str = "", *, again: bool = False) -> None:
        """Loads new versions of a model; the same error is logged once.

        The audit log says `by` what; not of a regular check that finds nothing.
        """
        try:
            changes = await self.context.models.reload(name, again=again)
            if again or (by and (changes.loaded or changes.unloaded)):
                audit_log.record(Change("reload", name), changes, by=by)
        except GatewiseError as error:
            if str(error) != self._logged_errors.get(name):
                self._logged_errors[name] = str(error)
                _log.error("the model %s could not be loaded: %s", name, error)
        except Exception:
            self._logged_errors.pop(name, None)
            _log.exception("the model %s could not be loaded", name)
        else:
            self._logged_errors.pop(name, None)


def _remove_framework_errors(document: dict[str, Any]) -> None:
    """Removes FastAPI's own validation errors from an OpenAPI document: they never occur."""
    status, schemas = str(INVALID_REQUEST.status), document["components"]["schemas"]
    for path in document["paths"].values():
        for operation in path.values():
            if "HTTPValidationError" in json.dumps(operation["responses"].get(status)):
                del operation["responses"][status]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
