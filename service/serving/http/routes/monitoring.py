"""`GET /health/live`, `GET /health/ready` and `GET /metrics`."""

from fastapi import APIRouter, Request
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.responses import Response

from gatewise.service.serving.http.app_context import app_context
from gatewise.service.serving.http.protocol import problems
from gatewise.service.serving.http.protocol.problems import ProblemError

routes = APIRouter()


class Health(BaseModel):
    """The answer to a health check that passes."""

    status: str


@routes.get("/health/live", summary="Liveness")
async def live() -> Health:
    """Answers 200 as soon as the process runs, with or without a model."""
    return Health(status="live")


@routes.get("/health/ready", summary="Readiness", responses=problems.responses(problems.NOT_READY))
async def ready(request: Request) -> Health:
    """Answers 200 once every model is loaded, until the service begins to stop."""
    context = app_context(request)
    if context.process.is_draining():
        raise ProblemError(problems.NOT_READY, "the service is stopping", headers={})
    if not context.models.is_ready:
        raise ProblemError(
            problems.NOT_READY,
            "the model is loading: retry, and if this continues see the service's log",
        )
    return Health(status="ready")


@routes.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
async def metrics(request: Request) -> Response:
    """Returns the metrics of all processes, in Prometheus's text format."""
    return Response(await app_context(request).all_metrics(), media_type=CONTENT_TYPE_LATEST)
