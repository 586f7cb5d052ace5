"""`POST /predict`: classifies texts, or sequences of numbers.

The JSON is that of the Hugging Face text-classification task, so that its clients work unchanged:
https://huggingface.co/docs/inference-providers/tasks/text-classification.

`/predict` itself is an ASGI application that runs before FastAPI's routing and parsing, which take
longer than the classification of a short text. The routes of single models go through FastAPI and
share its code.
"""

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self, TypeVar

import orjson
from fastapi import APIRouter, Request
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.input_encoding import InputEncoding, Item
from gatewise.service.model.scores import ScoreFunction, best_first
from gatewise.service.serving.batching import EmptyTextsError, Scored
from gatewise.service.serving.http.app_context import AppContext
from gatewise.service.serving.http.middleware.access_log import request_context
from gatewise.service.serving.http.protocol import problems, request_body
from gatewise.service.serving.http.protocol.problems import (
    ClientDisconnectedError,
    FieldError,
    ProblemError,
    pointer,
)
from gatewise.vocab.corpus.sequences import as_numbers
from gatewise.vocab.errors import ArgumentError, GatewiseError, SequenceError

_log = logging.getLogger(__name__)


def _inputs_kind(inputs: object) -> str | None:
    if isinstance(inputs, str):
        return "text"
    if not isinstance(inputs, list):
        return None
    return "numbers" if inputs and isinstance(inputs[0], int | float | list | None) else "texts"


_NUMBERS_SCHEMA = {
    "type": "array",
    "items": {"anyOf": [{"type": "number"}, {"type": "null"}, {"type": "array", "items": {}}]},
    "minItems": 1,
}

# With a discriminator function, because a plain union reports one error for each of its members.
Inputs = Annotated[
    Annotated[str, Tag("text")]
    # Validation stops at the first invalid text: a body of a million numbers costs one error.
    | Annotated[list[str], Field(min_length=1, fail_fast=True), Tag("texts")]
    # Numbers are checked once the model is known, which says how many a step has.
    | Annotated[list[Any], WithJsonSchema(_NUMBERS_SCHEMA), Tag("numbers")],
    Discriminator(
        _inputs_kind,
        custom_error_type="inputs_type",
        custom_error_message="expected a text or a list of texts, or a sequence of numbers or a "
        "list of sequences",
    ),
]


class PredictParameters(BaseModel):
    """The parameters of a request; null is the same as absent."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    top_k: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="The number of labels per text, best first; all if absent. The numbers of a "
        "model that predicts several keep their order.",
    )
    function_to_apply: ScoreFunction | None = Field(
        None,
        description="The function that turns logits into scores; the model's own if absent.",
    )
    above_threshold: bool | None = Field(
        None,
        description="Whether to return only the labels whose score reaches their threshold, which "
        "training chose; this can be none. Only for multi-label models, and only with sigmoid "
        "scores.",
    )

    @model_validator(mode="after")
    def _thresholds_are_of_sigmoid(self) -> Self:
        if self.above_threshold and self.function_to_apply not in (None, "sigmoid"):
            raise PydanticCustomError(
                "above_threshold",
                "expected function_to_apply to be sigmoid or absent with above_threshold: "
                "thresholds apply to sigmoid scores",
            )
        return self


class TextsRequest(BaseModel):
    """One text or several."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        json_schema_extra={
            "examples": [
                {"inputs": "Where is the nearest station?"},
                {"inputs": ["Who wrote Hamlet?", "How far is it?"], "parameters": {"top_k": 3}},
            ]
        },
    )

    inputs: Inputs = Field(
        description="A text, or a list of at least one text. For a model of sequences of numbers: "
        "a sequence, which is a list of numbers, or of vectors if a step has several; or a list of "
        "sequences. null is a missing number."
    )

    @property
    def are_numbers(self) -> bool:
        """Whether they are no texts."""
        return isinstance(self.inputs, list) and not isinstance(self.inputs[0], str)

    @property
    def texts(self) -> list[str]:
        """The texts as a list, also if `inputs` is a single text; numbers as one JSON text."""
        if self.are_numbers:
            return [json.dumps(self.inputs)]  # of integers of more than 64 bits, too
        return [self.inputs] if isinstance(self.inputs, str) else self.inputs

    def is_one(self, features: int) -> bool:
        """Whether `inputs` is one text, or one sequence of steps with so many numbers."""
        if not self.are_numbers:
            return isinstance(self.inputs, str)
        step = self.inputs[0]
        if features > 1 and isinstance(step, list):
            step = step[0] if step else None
        return not isinstance(step, list)

    def pointer(self, index: int, features: int = 0) -> str:
        """Returns the JSON pointer to the text or the sequence with this index."""
        return "#/inputs" if self.is_one(features) else f"#/inputs/{index}"

    def items(self, encoding: InputEncoding, max_texts: int) -> list[Item]:
        """The texts or the sequences, as a model reads them.

        Raises:
            ProblemError: The model reads the other kind, or a sequence cannot be used.
        """
        features = encoding.features
        if self.are_numbers != (features > 0):
            kinds = ("texts", "sequences of numbers")
            detail = f"expected {kinds[features > 0]}, which this model reads, received "
            place = "#/inputs" if features else "#/inputs/0"
            raise _invalid(detail + kinds[features == 0], place)
        if not features:
            return [*self.texts]
        sequences = [self.inputs] if self.is_one(features) else self.inputs
        if len(sequences) > max_texts:
            detail = f"expected at most {max_texts} sequences, received {len(sequences)}"
            raise _invalid(detail, "#/inputs")
        found: list[Item] = []
        for index, sequence in enumerate(sequences):
            try:
                found.append(as_numbers(sequence, features))
            except SequenceError as error:
                raise _invalid(str(error), self.pointer(index, features)) from None
        return found


class PredictRequest(TextsRequest):
    """The body of a request to `/predict`."""

    model_config = ConfigDict(defer_build=False)  # the command defers: no request may wait for it

    parameters: PredictParameters | None = None


class LabelScore(BaseModel):
    """A label and its score; of a model that predicts numbers, a number and its name, `value`."""

    model_config = ConfigDict(frozen=True)

    label: str
    score: float


_NO_THRESHOLDS = FieldError(
    detail="expected no above_threshold: this model gives every text exactly one label or number",
    pointer=pointer(("parameters", "above_threshold")),
)
_DEFAULT_PARAMETERS = PredictParameters()

_Request = TypeVar("_Request", bound=TextsRequest)


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful response."""

    body: bytes
    headers: list[tuple[bytes, bytes]]


class Predict:
    """Answers the requests of every `/predict` route."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
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
        """Answers a request that FastAPI has routed."""
        answer = await self.answer(request.scope, request.receive, name, version)
        response = Response(answer.body)
        response.raw_headers = answer.headers
        return response

    async def answer(
        self, scope: Scope, receive: Receive, name: str | None = None, version: str | None = None
    ) -> Answer:
        """Reads a request, classifies its texts, and encodes the response."""
        request = await read_texts(self._context, scope, receive, PredictRequest)
        parameters = request.parameters or _DEFAULT_PARAMETERS
        record = request_context(scope)
        try:
            served = self._context.models.find(name, version)
            record.model, record.version = served.name, served.version
            check_function(served.classifier, parameters.function_to_apply)
            thresholds = served.classifier.thresholds if parameters.above_threshold else None
            if parameters.above_threshold and thresholds is None:
                raise problems.invalid_request([_NO_THRESHOLDS])
            encoding = served.classifier.encoding
            future = served.ask(
                request.items(encoding, self._context.settings.max_texts),
                parameters.function_to_apply,
                when_slow=lambda: self._watch_client(future, receive),
            )
            scored = await future
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task and task.cancelling():  # the request itself is cancelled, not the future
                raise
            raise ClientDisconnectedError from None
        except EmptyTextsError as error:
            raise problems.empty_texts([request.pointer(i) for i in error.indices]) from None
        except GatewiseError as error:
            raise problems.refusal(error) from None
        body = encode(
            served.classifier.classes_,
            scored,
            parameters.top_k,
            thresholds,
            in_order=served.classifier.has_numbers,
        )
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"gatewise-model", served.name.encode()),
            (b"gatewise-version", served.version.encode()),
        ]
        if scored.truncated:
            headers.append((b"gatewise-truncated-texts", b"%d" % scored.truncated))
        return Answer(body, headers)

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


def _invalid(detail: str, place: str) -> ProblemError:
    return problems.invalid_request([FieldError(detail=detail, pointer=place)])


def check_function(classifier: Classifier, function_to_apply: ScoreFunction | None) -> None:
    """Checks that a score function suits a model."""
    try:
        classifier.check_function(function_to_apply)
    except ArgumentError as error:
        place = pointer(("parameters", "function_to_apply"))
        raise _invalid(str(error), place) from None


async def read_texts(
    context: AppContext, scope: Scope, receive: Receive, schema: type[_Request]
) -> _Request:
    """Reads and validates the body of a request with texts."""
    settings = context.settings
    request = await request_body.read(scope, receive, schema, settings.max_body_bytes)
    inputs = request.inputs
    if isinstance(inputs, list) and len(inputs) > settings.max_texts and not request.are_numbers:
        detail = f"expected at most {settings.max_texts} texts, received {len(inputs)}"
        raise _invalid(detail, "#/inputs")
    if settings.log_texts:
        request_context(scope).texts = request.texts
    return request


def encode(
    labels: Sequence[str],
    scored: Scored,
    top_k: int | None = None,
    thresholds: Sequence[float] | None = None,
    *,
    in_order: bool = False,
) -> bytes:
    """Encodes the response: for each text its labels with their scores, best first.

    Labels with equal scores keep the model's order, and so do the numbers of a regression. A score
    is written as the shortest decimal that gives the same float32.

    >>> encode(["ham", "spam"], Scored(np.array([[0.2, 0.8]], np.float32), [None]), top_k=1)
    b'[[{"label":"spam","score":0.8}]]'
    """
    rows = [
        [
            {"label": label, "score": score}
            for label, score in best_first(
                labels, scores, top_k, thresholds, none, in_order=in_order
            )
        ]
        for scores, none in zip(scored.scores, scored.none, strict=True)
    ]
    return orjson.dumps(rows, option=orjson.OPT_SERIALIZE_NUMPY)


async def _cancel_on_disconnect(future: asyncio.Future[Scored], receive: Receive) -> None:
    while not future.done():
        message = await receive()
        if message["type"] == "http.disconnect":
            future.cancel()
            return
