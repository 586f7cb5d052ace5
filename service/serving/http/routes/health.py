"""Whether the process answers, and whether texts can be classified."""

from fastapi import APIRouter, Request
from gatewise.service.serving.http.app_context import app_context
from gatewise.service.serving.http.protocol import problems
from gatewise.service.serving.http.protocol.problems import ProblemError
from pydantic import BaseModel

routes = APIRouter()


class Health(BaseModel):
    """That a health check has passed."""

    status: str


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
    """Answers 200 while every model can be asked, and the service was not told to stop."""
    context = app_context(request)
    if context.process.is_draining():
        raise ProblemError(problems.NOT_READY, "the service is stopping", headers={})
    if not context.models.is_ready:
        raise ProblemError(
            problems.NOT_READY,
            "the model is being loaded: ask again, and look at the log if this lasts",
        )
    return Health(status="ready")
