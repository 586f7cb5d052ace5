"""The models by name: what there is, how they are asked, and how their versions are changed."""

import math
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from gatewise.service.model.errors import ModelFolderError
from gatewise.service.serving.http.app_context import app_context
from gatewise.service.serving.http.auth import authorization
from gatewise.service.serving.http.auth.api_keys import Role
from gatewise.service.serving.http.protocol import problems, request_body
from gatewise.service.serving.http.protocol.problems import FieldError, ProblemError
from gatewise.service.serving.model_registry import Changes, ModelRegistry
from gatewise.service.serving.model_versions import Change
from gatewise.vocab.corpus.columns import Task
from pydantic import BaseModel, ConfigDict, Field

_MOST_CHANGE_BYTES = 65_536

_ADMIN = [Depends(authorization.require(Role.ADMIN))]

routes = APIRouter()


class Version(BaseModel):
    """One version of a model."""

    version: str = Field(description="Its name.")
    state: str = Field(description="`ready`, or `failed` if it could not be loaded.")
    traffic: float = Field(description="Part of the requests without a version that it gets.")
    sha256: str | None = Field(None, description="The digest of its manifest.")
    labels: int | None = Field(None, description="How many labels it tells apart.")
    task: Task | None = Field(
        None, description="Whether a text has exactly one label or any number of them."
    )
    none_label: str | None = Field(
        None, description="What a text is given that is given none of the labels; null if none is."
    )
    streams: bool | None = Field(
        None, description="Whether it can classify a text as it comes, by `/stream`."
    )
    reason: str | None = Field(None, description="Why it could not be loaded.")


class Model(BaseModel):
    """One model."""

    name: str = Field(description="Its name, as it stands in addresses.")
    default: bool = Field(description="Whether `/predict` asks it.")
    versions: list[Version] = Field(description="Its versions, oldest first.")


class ModelList(BaseModel):
    """The models of a service."""

    models: list[Model]


class Reloaded(Model):
    """A model, and what became of its versions."""

    loaded: list[str] = Field(description="Versions that answer since.")
    unloaded: list[str] = Field(description="Versions that no longer do.")


class Traffic(BaseModel):
    """What part of the requests that name no version each version gets."""

    model_config = ConfigDict(extra="forbid", strict=True)

    shares: dict[str, Annotated[float, Field(ge=0, le=1e9)]] | None = Field(
        description="The part of each version, of whatever sum; one that is not named gets none. "
        "null gives all to the newest."
    )


def told(models: ModelRegistry, name: str) -> Model:
    """A model as it is told."""
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
            streams=served.streams,
        )
        for version, served in model.served.items()
    ]
    failed = [
        Version(version=version, state="failed", traffic=0, reason=reason)
        for version, (_, reason) in model.failed.items()
        if version not in model.served
    ]
    return Model(name=name, default=name == models.default, versions=ready + failed)


async def _change(request: Request, change: Change) -> Changes:
    """Changes versions, in every process of the service."""
    try:
        return await app_context(request).change(change)
    except ModelFolderError as error:
        raise ProblemError(problems.NOT_LOADED, str(error)) from None


@routes.get("/models", summary="Every model")
async def every(request: Request) -> ModelList:
    """Answers every model with its versions."""
    models = app_context(request).models
    return ModelList(models=[told(models, name) for name in models.names()])


@routes.get("/models/{name}", summary="One model", responses=problems.responses(problems.NO_MODEL))
async def one(request: Request, name: str) -> Model:
    """Answers a model with its versions."""
    return told(app_context(request).models, name)


@routes.post(
    "/models/{name}/reload",
    dependencies=_ADMIN,
    summary="Look for new versions",
    responses=problems.responses(problems.FORBIDDEN, problems.NO_MODEL, problems.NOT_LOADED),
)
async def reload(request: Request, name: str) -> Reloaded:
    """Loads versions that are new, and unloads those that are gone; a failure changes nothing."""
    models = app_context(request).models
    changes = await _change(request, Change("reload", name))
    if changes.failed and not changes.loaded:
        version, reason = next(iter(changes.failed.items()))
        raise ProblemError(problems.NOT_LOADED, f"version {version}: {reason}")
    return Reloaded(
        **told(models, name).model_dump(),
        loaded=list(changes.loaded),
        unloaded=list(changes.unloaded),
    )


@routes.put(
    "/models/{name}/traffic",
    dependencies=_ADMIN,
    summary="Share the requests among versions",
    openapi_extra=request_body.openapi(Traffic),
    responses=problems.responses(
        *request_body.PROBLEMS, problems.FORBIDDEN, problems.NO_MODEL, problems.INVALID_REQUEST
    ),
)
async def share(request: Request, name: str) -> Model:
    """Sets what part of the requests each version gets: a canary, or a way back."""
    models = app_context(request).models
    asked = await request_body.read(request.scope, request.receive, Traffic, _MOST_CHANGE_BYTES)
    if asked.shares is not None and not 0 < sum(asked.shares.values()) < math.inf:
        raise problems.invalid_request(
            [FieldError(detail="expected at least one share above 0", pointer="#/shares")]
        )
    await _change(request, Change("share", name, shares=asked.shares))
    return told(models, name)


@routes.post(
    "/models/{name}/versions/{version}/load",
    dependencies=_ADMIN,
    summary="Load a version that was unloaded",
    responses=problems.responses(problems.FORBIDDEN, problems.NO_MODEL, problems.NOT_LOADED),
)
async def load(request: Request, name: str, version: str) -> Model:
    """Loads a version again that is still where it was."""
    models = app_context(request).models
    changes = await _change(request, Change("load", name, version))
    if version in changes.failed:
        raise ProblemError(problems.NOT_LOADED, changes.failed[version])
    models.find(name, version)
    return told(models, name)


@routes.delete(
    "/models/{name}/versions/{version}",
    dependencies=_ADMIN,
    summary="Unload a version",
    responses=problems.responses(problems.FORBIDDEN, problems.NO_MODEL, problems.IN_USE),
)
async def unload(request: Request, name: str, version: str) -> Model:
    """Takes a version out of service, once it has answered what it has taken."""
    models = app_context(request).models
    await _change(request, Change("unload", name, version))
    return told(models, name)
