"""`POST /predict`: classifies texts.

`/predict` itself is an ASGI application that runs before FastAPI's routing and parsing, which take
longer than the classification of a short text. The routes of single models go through FastAPI and
share its code.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gatewise.service.serving.batching import EmptyTextsError, Scored
from gatewise.service.serving.http.app_context import AppContext
from gatewise.service.serving.http.middleware.request_context import request_context
from gatewise.service.serving.http.protocol import problems, request_body
from gatewise.service.serving.http.protocol.problems import (
    ClientDisconnectedError,
    FieldError,
    ProblemError,
    pointer,
)
from gatewise.service.serving.http.routes.predict_schemas import (
    LabelScore,
    PredictParameters,
    PredictRequest,
    TextsRequest,
    encode,
)
from gatewise.vocab.errors import GatewiseError

_log = logging.getLogger(__name__)

_NO_THRESHOLDS = FieldError(
    detail="expected no above_threshold: this model gives every text exactly one label",
    pointer=pointer(("parameters", "above_threshold")),
)
_DEFAULT_PARAMETERS = PredictParameters()

_Request = TypeVar("_Request", bound=TextsRequest)


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful response.

    Attributes:
        body: Its JSON.
        headers: Its headers, including Content-Type and Content-Length.
    """

    body: bytes
    headers: list[tuple[bytes, bytes]]


class Predict:
    """Answers the requests of every `/predict` route.

    Args:
        context: The state of the application.
        requests_in_flight: Returns the number of requests that are not answered yet.
    """

    def __init__(self, context: AppContext, requests_in_flight: Callable[[], int]) -> None:
        self._context = context
        self._requests_in_flight = requests_in_flight
        self._watchers: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request to `/predict`, as an ASGI application."""
        request_context(scope).route = "/predict"
        try:
            answer = await self.answer(scope, receive)
        except ClientDisconnectedError:
            request_context(scope).status = 499
            return
        except ProblemError as problem:
            await problems.response(scope["path"], problem)(scope, receive, send)
            return
        except Exception:
            _log.exception("a request to /predict failed")
            await problems.response(scope["path"], problems.unexpected())(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def respond(
        self, request: Request, name: str | None = None, version: str | None = None
    ) -> Response:
        """Answers a request that FastAPI has routed.

        Raises:
            ProblemError: If the request is refused.
            ClientDisconnectedError: If the client has disconnected.
        """
        answer = await self.answer(request.scope, request.receive, name, version)
        response = Response(answer.body)
        response.raw_headers = answer.headers
        return response

    async def answer(
        self, scope: Scope, receive: Receive, name: str | None = None, version: str | None = None
    ) -> Answer:
        """Reads a request, classifies its texts, and encodes the response.

        Raises:
            ProblemError: If the request is refused.
            ClientDisconnectedError: If the client has disconnected.
        """
        request = await read_texts(self._context, scope, receive, PredictRequest)
        parameters = request.parameters or _DEFAULT_PARAMETERS
        record = request_context(scope)
        try:
            served = self._context.models.find(name, version)
            record.model, record.version = served.name, served.version
            thresholds = served.classifier.thresholds if parameters.above_threshold else None
            if parameters.above_threshold and thresholds is None:
                raise problems.invalid_request([_NO_THRESHOLDS])
            future = served.ask(
                request.texts,
                parameters.function_to_apply,
                inline=await self._is_alone(),
                when_slow=lambda: self._watch_client(future, receive),
            )
            scored = await _result(future)
        except EmptyTextsError as error:
            raise problems.empty_texts([request.pointer(i) for i in error.indices]) from None
        except GatewiseError as error:
            raise problems.refusal(error) from None
        body = encode(served.classifier.classes_, scored, parameters.top_k, thresholds)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"gatewise-model", served.name.encode()),
            (b"gatewise-version", served.version.encode()),
        ]
        if scored.truncated:
            headers.append((b"gatewise-truncated-texts", b"%d" % scored.truncated))
        return Answer(body, headers)

    async def _is_alone(self) -> bool:
        """Whether no other request is in flight, those that arrived with this one included."""
        if self._requests_in_flight() > 1:
            return False
        await asyncio.sleep(0)  # starts the tasks of requests that were read in the same moment
        return self._requests_in_flight() == 1

    def _watch_client(self, future: asyncio.Future[Scored], receive: Receive) -> None:
        task = asyncio.ensure_future(_cancel_on_disconnect(future, receive))
        self._watchers.add(task)
        task.add_done_callback(self._watchers.discard)


def routes(predict: Predict) -> APIRouter:
    """Returns the routes that classify; `/predict` is among them only for the OpenAPI document."""
    router = APIRouter()
    described: dict[str, Any] = {
        "openapi_extra": request_body.openapi(PredictRequest),
        "response_model": list[list[LabelScore]],
        "responses": problems.responses(
            *request_body.PROBLEMS,
            problems.NO_MODEL,
            problems.INVALID_REQUEST,
            problems.EMPTY_TEXT,
            problems.QUEUE_FULL,
            problems.NOT_READY,
            problems.LATE,
        ),
    }

    @router.post("/predict", summary="Classify texts", **described)
    async def predict_by_default(request: Request) -> Response:
        """Returns one list per text, in the order of the texts, with its labels best first."""
        return await predict.respond(request)

    @router.post("/models/{name}/predict", summary="Classify texts with a model", **described)
    async def predict_by_model(request: Request, name: str) -> Response:
        """Answers like `/predict`, with a version of the model that traffic shares choose."""
        return await predict.respond(request, name)

    @router.post(
        "/models/{name}/versions/{version}/predict",
        summary="Classify texts with a version of a model",
        **described,
    )
    async def predict_by_version(request: Request, name: str, version: str) -> Response:
        """Answers like `/predict`, with this version of the model."""
        return await predict.respond(request, name, version)

    return router


async def read_texts(
    context: AppContext, scope: Scope, receive: Receive, schema: type[_Request]
) -> _Request:
    """Reads and validates the body of a request with texts.

    Raises:
        ProblemError: If the body is not valid, or has too many texts.
        ClientDisconnectedError: If the client disconnects before it has sent the body.
    """
    settings = context.settings
    request = await request_body.read(scope, receive, schema, settings.max_body_bytes)
    if len(request.texts) > settings.max_texts:
        detail = f"expected at most {settings.max_texts} texts, received {len(request.texts)}"
        raise problems.invalid_request([FieldError(detail=detail, pointer="#/inputs")])
    if settings.log_texts:
        request_context(scope).texts = request.texts
    return request


async def _result(future: asyncio.Future[Scored]) -> Scored:
    """Awaits scores.

    Raises:
        ClientDisconnectedError: If the future was cancelled.
    """
    try:
        return await future
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task and task.cancelling():  # the request itself is cancelled, not the future
            raise
        raise ClientDisconnectedError from None


async def _cancel_on_disconnect(future: asyncio.Future[Scored], receive: Receive) -> None:
    while not future.done():
        message = await receive()
        if message["type"] == "http.disconnect":
            future.cancel()
            return
