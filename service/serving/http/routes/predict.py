"""`POST /predict`: a body of texts becomes their labels with scores.

The way from the bytes of the body to the bytes of the answer is the same for every address that
classifies. Below `/predict` itself it is an ASGI application that the server calls directly:
FastAPI's routing and its parsing take longer than classifying a text. Knows no addresses.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
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
    written,
)
from gatewise.vocab.errors import GatewiseError
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_log = logging.getLogger(__name__)

_NO_THRESHOLDS = FieldError(
    detail="expected no above_threshold: this model gives every text exactly one label",
    pointer=pointer(("parameters", "above_threshold")),
)
_DEFAULT_PARAMETERS = PredictParameters()


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request that could be answered.

    Attributes:
        body: Its JSON.
        headers: Its headers, those of any JSON included.
    """

    body: bytes
    headers: list[tuple[bytes, bytes]]


class Predict:
    """Answers what is asked of a model.

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
        """Answers a request that came by another address, for FastAPI.

        Raises:
            ProblemError: If the request is refused.
            ClientDisconnectedError: If the client has gone.
        """
        answer = await self.answer(request.scope, request.receive, name, version)
        response = Response(answer.body)
        response.raw_headers = answer.headers
        return response

    async def answer(
        self, scope: Scope, receive: Receive, name: str | None = None, version: str | None = None
    ) -> Answer:
        """Reads a request, asks the model, and writes the answer.

        Raises:
            ProblemError: If the request is refused.
            ClientDisconnectedError: If the client has gone.
        """
        settings = self._context.settings
        asked = await request_body.read(scope, receive, PredictRequest, settings.max_body_bytes)
        texts = asked.texts
        if len(texts) > settings.max_texts:
            detail = f"expected at most {settings.max_texts} texts, received {len(texts)}"
            raise problems.invalid_request([FieldError(detail=detail, pointer="#/inputs")])
        parameters = asked.parameters or _DEFAULT_PARAMETERS
        exchange = request_context(scope)
        if settings.log_texts:
            exchange.texts = texts
        try:
            served = self._context.models.find(name, version)
            exchange.model, exchange.version = served.name, served.version
            thresholds = served.classifier.thresholds if parameters.above_threshold else None
            if parameters.above_threshold and thresholds is None:
                raise problems.invalid_request([_NO_THRESHOLDS])
            future = served.ask(
                texts,
                parameters.function_to_apply,
                inline=self._requests_in_flight() == 1,
                when_slow=lambda: self._watch(future, receive),
            )
            scored = await _answer_of(future)
        except EmptyTextsError as error:
            places = [asked.place(index) for index in error.indices]
            raise problems.empty_texts(places) from None
        except GatewiseError as error:
            raise problems.refusal(error) from None
        answer = written(served.classifier.classes_, scored, parameters.top_k, thresholds)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(answer)),
            (b"gatewise-model", served.name.encode()),
            (b"gatewise-version", served.version.encode()),
        ]
        if scored.truncated:
            headers.append((b"gatewise-truncated-texts", b"%d" % scored.truncated))
        return Answer(answer, headers)

    def _watch(self, future: asyncio.Future[Scored], receive: Receive) -> None:
        """Takes back what was asked if the client goes before the answer is there."""
        task = asyncio.ensure_future(_cancel_when_gone(future, receive))
        self._watchers.add(task)
        task.add_done_callback(self._watchers.discard)


def routes(predict: Predict) -> APIRouter:
    """The routes that classify, for OpenAPI and for what does not reach `predict` directly."""
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
        """Answers one list a text, in the order of the texts, its labels best first."""
        return await predict.respond(request)

    @router.post("/models/{name}/predict", summary="Classify texts by a model", **described)
    async def predict_by_model(request: Request, name: str) -> Response:
        """Answers as `/predict` does, by the version of the model whose turn it is."""
        return await predict.respond(request, name)

    @router.post(
        "/models/{name}/versions/{version}/predict",
        summary="Classify texts by a version",
        **described,
    )
    async def predict_by_version(request: Request, name: str, version: str) -> Response:
        """Answers as `/predict` does, by that version of the model."""
        return await predict.respond(request, name, version)

    return router


async def _answer_of(future: asyncio.Future[Scored]) -> Scored:
    """Awaits scores.

    Raises:
        ClientDisconnectedError: If they were taken back.
    """
    try:
        return await future
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task and task.cancelling():  # it is this request that is stopped, not its answer
            raise
        raise ClientDisconnectedError from None


async def _cancel_when_gone(future: asyncio.Future[Scored], receive: Receive) -> None:
    while not future.done():
        message = await receive()
        if message["type"] == "http.disconnect":
            future.cancel()
            return
