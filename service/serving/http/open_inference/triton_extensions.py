"""Two of Triton's extensions to the protocol: a model's configuration and the repository index.

Source: extension_model_configuration.md and extension_model_repository.md in
https://github.com/triton-inference-server/server/tree/main/docs/protocol.
"""

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from gatewise.service.serving.http.app_context import app_context
from gatewise.service.serving.http.open_inference.inference_schemas import (
    ModelMetadata,
    TensorMetadata,
)
from gatewise.service.serving.http.open_inference.response_encoding import metadata
from gatewise.service.serving.http.open_inference.routes import (
    BYTES_TYPE,
    MODEL_RESPONSES,
    find_described,
    inference_responses,
)
from gatewise.service.serving.http.protocol import problems, request_body
from gatewise.service.serving.http.protocol.problems import ProblemError
from gatewise.service.serving.model_registry import ModelVersions

_MAX_INDEX_BYTES = 4096
_TYPES = {"BYTES": "TYPE_STRING", "FP32": "TYPE_FP32", "BOOL": "TYPE_BOOL"}
"""The protocol's names of data types, as Triton's configuration writes them."""

routes = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])


class TensorConfig(BaseModel):
    """An input or an output in a model's configuration."""

    name: str
    data_type: str = Field(description="Such as TYPE_STRING.")
    dims: list[int] = Field(description="Its shape; -1 for any length.")


class TritonModelConfig(BaseModel):
    """The configuration of a model, as far as a client of Triton uses it."""

    model_config = ConfigDict(protected_namespaces=())

    name: str
    platform: str
    backend: str
    max_batch_size: int = Field(description="0: the shapes hold every dimension.")
    input: list[TensorConfig]
    output: list[TensorConfig]


class RepositoryIndexRequest(BaseModel):
    """The body of a request for the repository index; it may be absent."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, json_schema_extra={"examples": [{"ready": True}]}
    )

    ready: bool = Field(False, description="Whether to list only versions that are ready.")


class RepositoryVersion(BaseModel):
    """A version of a model in the repository index."""

    name: str
    version: str
    state: str = Field(description="`READY`, or `UNAVAILABLE`.")
    reason: str = Field(description="Why it is unavailable; else empty.")


@routes.get("/models/{name}/config", summary="Configuration of a model", responses=MODEL_RESPONSES)
@routes.get(
    "/models/{name}/versions/{version}/config",
    summary="Configuration of a version of a model",
    responses=MODEL_RESPONSES,
)
async def model_configuration(
    request: Request, name: str, version: str | None = None
) -> TritonModelConfig:
    """Returns the inputs and outputs of a model in the form of Triton's configuration."""
    models = app_context(request).models
    served = find_described(models, name, version)
    return _config(metadata(served.name, models.versions(served.name), served.classifier))


@routes.post(
    "/repository/index",
    summary="List models and versions",
    responses=inference_responses(
        problems.INVALID_INFERENCE, problems.BODY_TOO_LARGE, problems.UNSUPPORTED_BODY
    ),
    openapi_extra={
        "requestBody": {
            "required": False,
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/RepositoryIndexRequest"}
                }
            },
        }
    },
)
async def repository_index(request: Request) -> list[RepositoryVersion]:
    """Returns every version of every model, or those that are ready."""
    # tritonclient.http.aio sends an empty body of this type.
    body = await request_body.receive_bytes(
        request.scope, request.receive, _MAX_INDEX_BYTES, BYTES_TYPE
    )
    only_ready = False
    if body:
        try:
            only_ready = request_body.parse(RepositoryIndexRequest, body).ready
        except ProblemError as problem:
            raise ProblemError(problems.INVALID_INFERENCE, problem.detail) from None
    models = app_context(request).models
    return [
        version
        for name in models.names()
        for version in _versions(name, models.model(name))
        if version.state == "READY" or not only_ready
    ]


def _config(model: ModelMetadata) -> TritonModelConfig:
    return TritonModelConfig(
        name=model.name,
        platform=model.platform,
        backend="onnxruntime",
        max_batch_size=0,
        input=list(map(_tensor, model.inputs)),
        output=list(map(_tensor, model.outputs)),
    )


def _tensor(tensor: TensorMetadata) -> TensorConfig:
    return TensorConfig(name=tensor.name, data_type=_TYPES[tensor.datatype], dims=tensor.shape)


def _versions(name: str, model: ModelVersions) -> list[RepositoryVersion]:
    ready = [
        RepositoryVersion(name=name, version=version, state="READY", reason="")
        for version in model.served
    ]
    failed = [
        RepositoryVersion(name=name, version=version, state="UNAVAILABLE", reason=reason)
        for version, reason in model.unavailable.items()
    ]
    return ready + failed
