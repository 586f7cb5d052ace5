"""The routes of the Open Inference Protocol, version 2, below `/v2`.

Errors below `/v2` have the protocol's shape, `{"error": "…"}`, instead of problem documents;
`gatewise.service.serving.http.protocol.problems` writes them.
"""

from functools import partial
from importlib.metadata import version as installed_version

from fastapi import APIRouter, Request
from starlette.responses import Response

from gatewise.service.serving.batching import EmptyTextsError
from gatewise.service.serving.http.app_context import app_context
from gatewise.service.serving.http.middleware.access_log import request_context
from gatewise.service.serving.http.open_inference import response_encoding
from gatewise.service.serving.http.open_inference.inference_schemas import (
    InferRequest,
    InferResponse,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
)
from gatewise.service.serving.http.open_inference.request_decoding import decode
from gatewise.service.serving.http.protocol import problems, request_body
from gatewise.service.serving.http.protocol.problems import ProblemError
from gatewise.service.serving.model_registry import ModelRegistry
from gatewise.service.serving.served_model import ServedModel
from gatewise.vocab.errors import SequenceError

EXTENSIONS = ["binary_tensor_data", "model_configuration", "model_repository(index)"]
HEADER_LENGTH = "Inference-Header-Content-Length"
BYTES_TYPE = "application/octet-stream"

_MAX_INDICES = 20
"""The most empty texts that a message lists."""

SCHEMAS = (InferRequest,)
"""The schemas of the OpenAPI document that no route's signature contains."""

routes = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])


inference_responses = partial(problems.responses, inference=True)
"""Returns FastAPI's `responses` of a route below /v2 that can answer with these errors."""

MODEL_RESPONSES = inference_responses(problems.NO_MODEL, problems.NOT_READY)
_INFER_RESPONSES = {
    **inference_responses(
        problems.INVALID_INFERENCE,
        problems.NO_MODEL,
        problems.BODY_TOO_LARGE,
        problems.UNSUPPORTED_BODY,
        problems.QUEUE_FULL,
        problems.NOT_READY,
        problems.LATE,
    ),
    200: {
        "description": "The outputs; requested binary outputs follow the JSON object as bytes.",
        "headers": {
            HEADER_LENGTH: {
                "description": "The length of the JSON object; only if bytes follow it.",
                "schema": {"type": "integer"},
            }
        },
        "content": {BYTES_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    },
}
_INFER_BODY = {
    "parameters": [
        {
            "name": HEADER_LENGTH,
            "in": "header",
            "required": False,
            "description": "The length of the JSON object, if the bytes of a tensor follow it.",
            "schema": {"type": "integer", "minimum": 0},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/InferRequest"}},
            BYTES_TYPE: {"schema": {"type": "string", "format": "binary"}},
        },
    },
}


@routes.get("/health/live", summary="Liveness")
async def server_live() -> ServerLive:
    """Answers 200 as soon as the process runs, with or without a model."""
    return ServerLive(live=True)


@routes.get("/health/ready", summary="Readiness", responses=inference_responses(problems.NOT_READY))
async def server_ready(request: Request) -> ServerReady:
    """Answers 200 once every model is ready, until the service begins to stop."""
    context = app_context(request)
    # No key is needed, so no model is named.
    if context.process.is_draining() or not context.models.is_ready:
        raise ProblemError(problems.NOT_READY, "the service is loading or stopping")
    return ServerReady(ready=True)


@routes.get("", summary="Server metadata")
async def server_metadata() -> ServerMetadata:
    """Returns the name, version and supported extensions of the server."""
    return ServerMetadata(
        name="gatewise", version=installed_version("gatewise"), extensions=EXTENSIONS
    )


@routes.get("/models/{name}/ready", summary="Readiness of a model", responses=MODEL_RESPONSES)
@routes.get(
    "/models/{name}/versions/{version}/ready",
    summary="Readiness of a version of a model",
    responses=MODEL_RESPONSES,
)
async def model_ready(request: Request, name: str, version: str | None = None) -> ModelReady:
    """Answers 200 once the model is ready."""
    served = find_described(app_context(request).models, name, version)
    return ModelReady(name=served.name, ready=True)


@routes.get("/models/{name}", summary="Metadata of a model", responses=MODEL_RESPONSES)
@routes.get(
    "/models/{name}/versions/{version}",
    summary="Metadata of a version of a model",
    responses=MODEL_RESPONSES,
)
async def model_metadata(request: Request, name: str, version: str | None = None) -> ModelMetadata:
    """Returns the inputs, outputs and versions of a model."""
    models = app_context(request).models
    served = find_described(models, name, version)
    return response_encoding.metadata(served.name, models.versions(served.name), served.classifier)


@routes.post(
    "/models/{name}/infer",
    summary="Classify texts",
    response_model=InferResponse,
    responses=_INFER_RESPONSES,
    openapi_extra=_INFER_BODY,
)
@routes.post(
    "/models/{name}/versions/{version}/infer",
    summary="Classify texts with a version of a model",
    response_model=InferResponse,
    responses=_INFER_RESPONSES,
    openapi_extra=_INFER_BODY,
)
async def infer(request: Request, name: str, version: str | None = None) -> Response:
    """Returns the requested outputs, or `label` and `score`."""
    context, record = app_context(request), request_context(request.scope)
    settings = context.settings
    body = await request_body.receive_bytes(
        request.scope, request.receive, settings.max_body_bytes, BYTES_TYPE
    )
    served = context.models.find(name, version)
    record.model, record.version = served.name, served.version
    decoded = decode(body, request.headers.get(HEADER_LENGTH), settings.max_texts)
    if decoded.model_name not in (None, served.name):
        raise _other_than_path("model_name", served.name, decoded.model_name)
    if decoded.model_version not in (None, served.version):
        if version is not None:
            raise _other_than_path("model_version", served.version, decoded.model_version)
        served = context.models.find(name, decoded.model_version)
        record.version = served.version
    if settings.log_texts:
        record.texts = decoded.texts
    response_encoding.check(decoded, served.classifier)
    parsed = served.classifier.encoding.parsed
    try:
        items = [parsed(text, f"text {index}") for index, text in enumerate(decoded.texts)]
        scored = await served.scores(items, decoded.function_to_apply)
    except SequenceError as error:
        raise ProblemError(problems.INVALID_INFERENCE, f"#/inputs/0: {error}") from None
    except EmptyTextsError as error:
        empty = ", ".join(map(str, error.indices[:_MAX_INDICES]))
        detail = f"#/inputs/0: expected texts with at least one token each: empty are {empty}"
        raise ProblemError(problems.INVALID_INFERENCE, detail) from None
    content, header_length = response_encoding.encode(
        response_encoding.tensors(decoded, served.classifier, scored),
        [output.binary for output in decoded.outputs],
        served.name,
        served.version,
        decoded.id,
    )
    headers = {"Gatewise-Truncated-Texts": str(scored.truncated)} if scored.truncated else {}
    if header_length is None:
        return Response(content, headers=headers, media_type="application/json")
    headers[HEADER_LENGTH] = str(header_length)
    return Response(content, headers=headers, media_type=BYTES_TYPE)


def _other_than_path(place: str, expected: str, received: str | None) -> ProblemError:
    detail = f"#/{place}: expected {expected!r}, which the path names, received {received!r:.200}"
    return ProblemError(problems.INVALID_INFERENCE, detail)


def find_described(models: ModelRegistry, name: str, version: str | None) -> ServedModel:
    """Returns the version to describe; unlike `find`, it does not count towards traffic shares."""
    return models.model(name).newest if version is None else models.find(name, version)
