"""The routes that list models and load, unload and share traffic among their versions."""

import math
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from gatewise.service.model.errors import ModelFolderError
from gatewise.service.model.model_documents import IntervalSettings
from gatewise.service.serving.http import audit_log
from gatewise.service.serving.http.app_context import app_context
from gatewise.service.serving.http.auth import authorization
from gatewise.service.serving.http.auth.api_keys import Role
from gatewise.service.serving.http.middleware.access_log import request_context
from gatewise.service.serving.http.protocol import problems, request_body
from gatewise.service.serving.http.protocol.problems import FieldError, ProblemError
from gatewise.service.serving.model_registry import Change, Changes, ModelRegistry
from gatewise.vocab.corpus.columns import Input, Task
from gatewise.vocab.errors import GatewiseError

_MAX_TRAFFIC_BYTES = 65_536

_ADMIN = [Depends(authorization.require(Role.ADMIN))]

routes = APIRouter()


class Version(BaseModel):
    """A version of a model."""

    version: str = Field(description="Its name.")
    state: str = Field(description="`ready`, or `failed` if it cannot be loaded.")
    traffic: float = Field(description="Its share of the requests that name no version.")
    sha256: str | None = Field(None, description="The SHA-256 of its manifest.")
    labels: int | None = Field(None, description="The number of labels.")
    task: Task | None = Field(
        None, description="Whether a text has exactly one label, any number of them, or a number."
    )
    none_label: str | None = Field(
        None, description="The label of rejected texts; null if the model rejects none."
    )
    input: Input | None = Field(None, description="Whether it reads texts or sequences of numbers.")
    features: int | None = Field(
        None, description="The numbers of a step of a sequence; null for texts."
    )
    streams: bool | None = Field(
        None,
        description="Whether `/stream` can classify a text with it token by token, or a sequence "
        "of numbers step by step.",
    )
    interval: IntervalSettings | None = Field(
        None, description="The interval around each number that it predicts; null without one."
    )
    examples: dict[str, str] | None = Field(
        None, description="A training text of each label, if training was to keep them."
    )
    reason: str | None = Field(None, description="Why it cannot be loaded.")


class ModelInfo(BaseModel):
    """A model."""

    name: str = Field(description="Its name in paths.")
    default: bool = Field(description="Whether `/predict` uses it.")
    versions: list[Version] = Field(description="Its versions, oldest first.")


class ModelList(BaseModel):
    """The models of a service."""

    models: list[ModelInfo]


class Reloaded(ModelInfo):
    """A model after a reload."""

    loaded: list[str] = Field(description="The versions that were loaded.")
    unloaded: list[str] = Field(description="The versions that were unloaded.")


class Traffic(BaseModel):
    """How requests that name no version are shared among the versions of a model."""

    model_config = ConfigDict(extra="forbid", strict=True)

    shares: dict[str, Annotated[float, Field(ge=0, le=1e9)]] | None = Field(
        description="The share of each version; they are normalized to a sum of 1, and a version "
        "without one gets none. null gives all traffic to the newest version."
    )


@routes.get("/models", summary="List models")
async def list_models(request: Request) -> ModelList:
    """Returns every model with its versions."""
    models = app_context(request).models
    return ModelList(models=[_model(models, name) for name in models.names()])


@routes.get(
    "/models/{name}", summary="Describe a model", responses=problems.responses(problems.NO_MODEL)
)
async def describe(request: Request, name: str) -> ModelInfo:
    """Returns a model with its versions."""
    return _model(app_context(request).models, name)


@routes.post(
    "/models/{name}/reload",
    dependencies=_ADMIN,
    summary="Look for new versions",
    responses=problems.responses(problems.FORBIDDEN, problems.NO_MODEL, problems.NOT_LOADED),
)
async def reload(request: Request, name: str) -> Reloaded:
    """Loads new versions and unloads deleted ones. On failure nothing changes."""
    changes = await _change(request, Change("reload", name))
    if changes.failed and not changes.loaded:
        version, reason = next(iter(changes.failed.items()))
        raise ProblemError(problems.NOT_LOADED, f"version {version}: {reason}")
    return Reloaded(
        **_model(app_context(request).models, name).model_dump(),
        loaded=list(changes.loaded),
        unloaded=list(changes.unloaded),
    )


@routes.put(
    "/models/{name}/traffic",
    dependencies=_ADMIN,
    summary="Share traffic among versions",
    openapi_extra=request_body.openapi(Traffic),
    responses=problems.responses(
        *request_body.PROBLEMS, problems.FORBIDDEN, problems.NO_MODEL, problems.INVALID_REQUEST
    ),
)
async def share(request: Request, name: str) -> ModelInfo:
    """Sets the share of the requests that each version gets, for a canary or a rollback."""
    traffic = await request_body.read(request.scope, request.receive, Traffic, _MAX_TRAFFIC_BYTES)
    if traffic.shares is not None and not 0 < sum(traffic.shares.values()) < math.inf:
        raise problems.invalid_request(
            [FieldError(detail="expected at least one share above 0", pointer="#/shares")]
        )
    await _change(request, Change("share", name, shares=traffic.shares))
    return _model(app_context(request).models, name)


@routes.post(
    "/models/{name}/versions/{version}/load",
    dependencies=_ADMIN,
    summary="Load an unloaded version",
    responses=problems.responses(problems.FORBIDDEN, problems.NO_MODEL, problems.NOT_LOADED),
)
async def load(request: Request, name: str, version: str) -> ModelInfo:
    """Loads a version again, if its folder is still there."""
    models = app_context(request).models
    changes = await _change(request, Change("load", name, version))
    if version in changes.failed:
        raise ProblemError(problems.NOT_LOADED, changes.failed[version])
    models.find(name, version)
    return _model(models, name)


@routes.delete(
    "/models/{name}/versions/{version}",
    dependencies=_ADMIN,
    summary="Unload a version",
    responses=problems.responses(problems.FORBIDDEN, problems.NO_MODEL, problems.IN_USE),
)
async def unload(request: Request, name: str, version: str) -> ModelInfo:
    """Unloads a version after it has answered the requests that it has taken."""
    await _change(request, Change("unload", name, version))
    return _model(app_context(request).models, name)


def _model(models: ModelRegistry, name: str) -> ModelInfo:
    model = models.model(name)
    traffic = model.traffic
    ready = [
        Version(
            version=version,
            state="ready",
            traffic=traffic[version],
            sha256=served.sha256,
            labels=len(served.classifier.classes_),
            task=served.classifier.task,
            none_label=served.classifier.none_label,
            input=served.classifier.encoding.input,
            features=served.classifier.encoding.features or None,
            streams=served.streams,
            interval=served.classifier.interval,
            examples=served.classifier.artifact.config.gatewise.examples,
        )
        for version, served in model.served.items()
    ]
    failed = [
        Version(version=version, state="failed", traffic=0, reason=reason)
        for version, reason in model.unavailable.items()
    ]
    return ModelInfo(name=name, default=name == models.default, versions=ready + failed)


async def _change(request: Request, change: Change) -> Changes:
    """Changes the versions of a model, in every process of the service, and records who did."""
    try:
        changes = await app_context(request).change(change)
    except GatewiseError as error:
        _audit(request, change, error)
        if isinstance(error, ModelFolderError):
            raise ProblemError(problems.NOT_LOADED, str(error)) from None
        raise
    _audit(request, change, changes)
    return changes


def _audit(request: Request, change: Change, result: Changes | Exception) -> None:
    context = request_context(request.scope)
    client = request.client.host if request.client else ""
    audit_log.record(change, result, by=context.key, client=client, request_id=context.id)
