"""The Open Inference Protocol, version 2: what is asked where below `/v2`.

Owns the routes. Every error below `/v2` has the protocol's shape, `{"error": "…"}`, for which
`gatewise.service.serving.http.protocol.problems` sees. Knows neither the format of bodies
(`gatewise.service.serving.http.open_inference.request_decoding`,
`gatewise.service.serving.http.open_inference.response_encoding`) nor what the tensors are
(`gatewise.service.serving.http.open_inference.outputs`).
"""

from importlib.metadata import version as installed_version
from typing import Any

from fastapi import APIRouter, Request
from gatewise.service.serving.batching import EmptyTextsError
from gatewise.service.serving.http.app_context import app_context
from gatewise.service.serving.http.middleware.request_context import request_context
from gatewise.service.serving.http.open_inference import outputs as inference_outputs
from gatewise.service.serving.http.open_inference.inference_schemas import (
    InferError,
    InferRequestBody,
    InferResponse,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
)
from gatewise.service.serving.http.open_inference.request_decoding import InferFormatError, decode
from gatewise.service.serving.http.open_inference.response_encoding import encode
from gatewise.service.serving.http.protocol import problems, request_body
from gatewise.service.serving.http.protocol.problems import Kind, ProblemError
from gatewise.service.serving.model_registry import ModelRegistry
from gatewise.service.serving.served_model import ServedModel
from starlette.responses import Response

EXTENSIONS = ["binary_tensor_data"]
HEADER_LENGTH = "Inference-Header-Content-Length"
BYTES_TYPE = "application/octet-stream"

routes = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])


def _responses(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """What FastAPI's `responses` says of a route below /v2 that may answer with these errors."""
    described = problems.responses(*kinds)
    return {
        status: {"description": each["description"], "model": InferError}
        for status, each in described.items()
    }


_OF_A_MODEL = _responses(problems.NO_MODEL, problems.NOT_READY)
_OF_AN_INFERENCE = {
    **_responses(
        *(
            problems.INVALID_INFERENCE,
            problems.NO_MODEL,
            problems.BODY_TOO_LARGE,
            problems.UNSUPPORTED_BODY,
        ),
        *(problems.QUEUE_FULL, problems.NOT_READY, problems.LATE),
    ),
    200: {
        "description": "The outputs; as bytes behind the JSON object where they are asked for so.",
        "headers": {
            HEADER_LENGTH: {
                "description": "Where the JSON object ends; only if bytes follow.",
                "schema": {"type": "integer"},
            }
        },
        "content": {BYTES_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    },
}
_INFERENCE_BODY = {
    "parameters": [
        {
            "name": HEADER_LENGTH,
            "in": "header",
            "required": False,
            "description": "Where the JSON object ends, if the bytes of a tensor follow it.",
            "schema": {"type": "integer", "minimum": 0},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/InferRequestBody"}},
            BYTES_TYPE: {"schema": {"type": "string", "format": "binary"}},
        },
    },
}
SHAPES = (InferRequestBody,)
"""What the OpenAPI document has to be told of: no signature of a route shows it."""


@routes.get("/health/live", summary="Whether the process answers")
async def server_live() -> ServerLive:
    """Answers as soon as the process does, with or without a model."""
    return ServerLive(live=True)


@routes.get(
    "/health/ready",
    summary="Whether every model is ready",
    responses=_responses(problems.NOT_READY),
)
async def server_ready(request: Request) -> ServerReady:
    """Answers 200 once every model is ready."""
    models = _models(request)
    for name in models.names():
        _asked_of(models, name, None)
    return ServerReady(ready=True)


@routes.get("", summary="What the server is")
async def server_metadata() -> ServerMetadata:
    """Answers name, version, and the extensions of the protocol that are understood."""
    return ServerMetadata(
        name="gatewise", version=installed_version("gatewise"), extensions=EXTENSIONS
    )


@routes.get("/models/{name}/ready", summary="Whether a model is ready", responses=_OF_A_MODEL)
@routes.get(
    "/models/{name}/versions/{version}/ready",
    summary="Whether a version of a model is ready",
    responses=_OF_A_MODEL,
)
async def model_ready(request: Request, name: str, version: str | None = None) -> ModelReady:
    """Answers 200 once the model is ready."""
    return ModelReady(name=_asked_of(_models(request), name, version).name, ready=True)


@routes.get("/models/{name}", summary="What a model takes and answers", responses=_OF_A_MODEL)
@routes.get(
    "/models/{name}/versions/{version}",
    summary="What a version of a model takes and answers",
    responses=_OF_A_MODEL,
)
async def model_metadata(request: Request, name: str, version: str | None = None) -> ModelMetadata:
    """Answers the tensors of the model and its versions."""
    models = _models(request)
    served = _asked_of(models, name, version)
    return inference_outputs.metadata(served.name, models.versions(served.name), served.classifier)


@routes.post(
    "/models/{name}/infer",
    summary="Classify texts",
    response_model=InferResponse,
    responses=_OF_AN_INFERENCE,
    openapi_extra=_INFERENCE_BODY,
)
@routes.post(
    "/models/{name}/versions/{version}/infer",
    summary="Classify texts with a version of a model",
    response_model=InferResponse,
    responses=_OF_AN_INFERENCE,
    openapi_extra=_INFERENCE_BODY,
)
async def infer(request: Request, name: str, version: str | None = None) -> Response:
    """Answers the outputs that are asked for, or `label` and `score`."""
    settings = app_context(request).settings
    content = await request_body.receive_bytes(
        request.scope, request.receive, settings.max_body_bytes, BYTES_TYPE
    )
    served = _models(request).find(name, version)
    exchange = request_context(request.scope)
    exchange.model, exchange.version = served.name, served.version
    try:
        asked = decode(content, request.headers.get(HEADER_LENGTH), settings.max_texts)
        if settings.log_texts:
            exchange.texts = asked.texts
        inference_outputs.check(asked, served.classifier)
        scored = await served.scores(asked.texts, asked.function_to_apply)
    except InferFormatError as error:
        raise ProblemError(problems.INVALID_INFERENCE, str(error)) from None
    except EmptyTextsError as error:
        which = ", ".join(map(str, error.indices[:20]))
        detail = f"#/inputs/0: expected texts with at least one token each: empty are {which}"
        raise ProblemError(problems.INVALID_INFERENCE, detail) from None
    answer, header_length = encode(
        inference_outputs.tensors(asked, served.classifier, scored),
        [output.binary for output in asked.outputs],
        served.name,
        served.version,
        asked.id,
    )
    told = {"Gatewise-Truncated-Texts": str(scored.truncated)} if scored.truncated else {}
    if header_length is None:
        return Response(answer, headers=told, media_type="application/json")
    told[HEADER_LENGTH] = str(header_length)
    return Response(answer, headers=told, media_type=BYTES_TYPE)


def _asked_of(models: ModelRegistry, name: str, version: str | None) -> ServedModel:
    """The version that is asked about; no request of a share is spent on it."""
    return models.model(name).newest if version is None else models.find(name, version)


def _models(request: Request) -> ModelRegistry:
    return app_context(request).models
