"""`GET /metrics`: the metrics of the service, for Prometheus."""

from fastapi import APIRouter, Request
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import Response

from gatewise.service.serving.http.app_context import app_context

routes = APIRouter()


@routes.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
async def metrics(request: Request) -> Response:
    """Returns the metrics of all processes, in Prometheus's text format."""
    return Response(await app_context(request).all_metrics(), media_type=CONTENT_TYPE_LATEST)
