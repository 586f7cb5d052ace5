"""`GET /metrics`: the service's metrics for Prometheus."""

from fastapi import APIRouter, Request
from gatewise.service.serving.http.app_context import app_context
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import Response

routes = APIRouter()


@routes.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
async def metrics(request: Request) -> Response:
    """Answers every metric, in Prometheus's text format."""
    return Response(await app_context(request).all_metrics(), media_type=CONTENT_TYPE_LATEST)
