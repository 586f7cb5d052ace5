"""`POST /explain`: classifies texts and returns what each token contributes to a label.

One explanation is computed at a time, in a thread: it costs as much as some hundred predictions,
and predictions must not wait for it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.explanation import Explanation, cost, explain
from gatewise.service.model.scores import ScoreFunction, apply, ranked, shortest
from gatewise.service.serving.http.app_context import app_context
from gatewise.service.serving.http.middleware.access_log import request_context
from gatewise.service.serving.http.protocol import problems, request_body
from gatewise.service.serving.http.protocol.problems import (
    ClientDisconnectedError,
    FieldError,
    ProblemError,
    pointer,
)
from gatewise.service.serving.http.routes.predict import (
    LabelScore,
    TextsRequest,
    check_function,
    read_texts,
)
from gatewise.vocab.corpus.columns import Task

MAX_TOKENS = 2**18
"""The most tokens that the network reads for one request, in the texts and all their variants."""

MAX_WAITING = 8
"""The most requests that wait in the queue; more are refused with 429."""

_PROBLEMS = (
    *request_body.PROBLEMS,
    problems.INVALID_REQUEST,
    problems.EMPTY_TEXT,
    problems.QUEUE_FULL,
    problems.NOT_READY,
    problems.LATE,
)


class ExplainParameters(BaseModel):
    """The parameters of a request; null is the same as absent."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    label: str | None = Field(
        None,
        description="The label to explain; the best label of each text if absent. Of a model that "
        "predicts numbers, the name of one; the first if absent.",
    )
    top_k: Annotated[int, Field(ge=1)] | None = Field(
        None, description="The number of labels per text, best first; all if absent."
    )
    function_to_apply: ScoreFunction | None = Field(
        None,
        description="The function that turns logits into the scores of `labels`; the model's own "
        "if absent. The shares do not depend on it.",
    )


class ExplainRequest(TextsRequest):
    """The body of a request to `/explain`."""

    parameters: ExplainParameters | None = None


class TokenShare(BaseModel):
    """A token, or several that stand for the same characters, and its share in the decision."""

    model_config = ConfigDict(frozen=True)

    start: int = Field(description="The offset of its first character, in Unicode code points.")
    end: int = Field(description="The offset after its last character.")
    text: str = Field(description="The characters between the offsets.")
    share: float = Field(
        description="The decrease of log_odds if the unknown token replaces it; negative if the "
        "token speaks against the label."
    )
    unknown: bool = Field(description="Whether it is not in the model's vocabulary.")


class Explained(BaseModel):
    """The labels of a text, and an explanation of one of them."""

    model_config = ConfigDict(frozen=True)

    labels: list[LabelScore] = Field(description="The response of /predict.")
    task: Task = Field(
        description="Whether a text has exactly one label, any number of them, or a number."
    )
    label: str = Field(description="The label that is explained.")
    score: float = Field(description="Its probability; the number if one is predicted.")
    log_odds: float = Field(
        description="ln(p / (1 - p)), where p is its probability; the number if one is predicted."
    )
    tokens: list[TokenShare] = Field(description="The tokens that the model reads, in order.")
    truncated: bool = Field(description="Whether the text is longer than the model reads.")


class ExplainQueue:
    """Lets one request at a time compute, and a limited number wait."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(1)
        self._waiting = 0

    @asynccontextmanager
    async def turn(self, seconds: float) -> AsyncIterator[None]:
        """Waits until no other request computes, then runs the block."""
        if self._waiting >= MAX_WAITING:
            raise ProblemError(
                problems.QUEUE_FULL,
                f"{MAX_WAITING} requests wait for explanations already: retry later",
            )
        self._waiting += 1
        try:
            await asyncio.wait_for(self._turn.acquire(), seconds)
        except TimeoutError:
            detail = f"other explanations took more than {seconds:g} s: retry later"
            raise ProblemError(problems.LATE, detail) from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turn.release()


def routes() -> APIRouter:
    """Returns the routes of one application, which share a queue."""
    router = APIRouter()
    queue = ExplainQueue()
    described: dict[str, Any] = {
        "openapi_extra": request_body.openapi(ExplainRequest),
        "responses": problems.responses(*_PROBLEMS),
    }
    by_name = {**described, "responses": problems.responses(problems.NO_MODEL, *_PROBLEMS)}

    @router.post("/explain", summary="Classify and explain texts", **described)
    async def explain_texts(request: Request, response: Response) -> list[Explained]:
        """Returns one object per text, in the order of the texts."""
        return await _answer(request, response, queue)

    @router.post("/models/{name}/explain", summary="Explain with a model", **by_name)
    async def explain_by_model(request: Request, response: Response, name: str) -> list[Explained]:
        """Answers like `/explain`, with a version of the model that traffic shares choose."""
        return await _answer(request, response, queue, name)

    @router.post(
        "/models/{name}/versions/{version}/explain",
        summary="Explain with a version of a model",
        **by_name,
    )
    async def explain_by_version(
        request: Request, response: Response, name: str, version: str
    ) -> list[Explained]:
        """Answers like `/explain`, with this version of the model."""
        return await _answer(request, response, queue, name, version)

    return router


async def _answer(
    request: Request,
    response: Response,
    queue: ExplainQueue,
    name: str | None = None,
    version: str | None = None,
) -> list[Explained]:
    context, record = app_context(request), request_context(request.scope)
    body = await read_texts(context, request.scope, request.receive, ExplainRequest)
    served = context.models.find(name, version)
    record.model, record.version = served.name, served.version
    response.headers["Gatewise-Model"] = served.name
    response.headers["Gatewise-Version"] = served.version
    async with queue.turn(context.settings.deadline_seconds):
        if await request.is_disconnected():
            raise ClientDisconnectedError
        explained = await asyncio.to_thread(explain_request, served.classifier, body)
    if truncated := sum(each.truncated for each in explained):
        response.headers["Gatewise-Truncated-Texts"] = str(truncated)
    return explained


def explain_request(classifier: Classifier, request: ExplainRequest) -> list[Explained]:
    """Classifies and explains the texts of a request."""
    if request.are_numbers or classifier.encoding.features:
        detail = "expected texts, and a model of texts: sequences of numbers have no explanation"
        raise problems.invalid_request([FieldError(detail=detail, pointer="#/inputs")])
    parameters = request.parameters or ExplainParameters()
    index = None if parameters.label is None else _index(classifier, parameters.label)
    encoded = classifier.locate(request.texts)
    if empty := [place for place, text in enumerate(encoded) if text.encoded.is_empty]:
        raise problems.empty_texts([request.pointer(place) for place in empty])
    if (tokens := sum(map(cost, encoded))) > MAX_TOKENS:
        detail = (
            f"expected texts that take at most {MAX_TOKENS} tokens to explain, received texts "
            f"that take {tokens}: send them in several requests"
        )
        raise problems.invalid_request([FieldError(detail=detail, pointer="#/inputs")])
    check_function(classifier, parameters.function_to_apply)
    explanations = explain(classifier, encoded, index)
    logits = np.stack([explanation.logits for explanation in explanations])
    own = classifier.score_function
    probabilities = apply(own, logits)
    scores = apply(parameters.function_to_apply or own, logits)
    in_order = classifier.has_numbers
    labels = [
        ranked(classifier.classes_, row, parameters.top_k, none=none, in_order=in_order)
        for row, none in zip(scores, classifier.none_labels(probabilities), strict=True)
    ]
    return [
        _explained(classifier, *each)
        for each in zip(request.texts, explanations, probabilities, labels, strict=True)
    ]


def _explained(
    classifier: Classifier,
    text: str,
    explanation: Explanation,
    probabilities: NDArray[np.float32],
    labels: list[tuple[str, float]],
) -> Explained:
    return Explained(
        labels=[LabelScore(label=label, score=score) for label, score in labels],
        task=classifier.task,
        label=classifier.classes_[explanation.index],
        score=shortest(probabilities[explanation.index]),
        log_odds=explanation.log_odds,
        tokens=[
            TokenShare(
                start=each.start,
                end=each.end,
                text=text[each.start : each.end],
                share=each.share,
                unknown=each.unknown,
            )
            for each in explanation.shares
        ],
        truncated=explanation.truncated,
    )


def _index(classifier: Classifier, label: str) -> int:
    try:
        return classifier.classes_.index(label)
    except ValueError:
        detail = f"expected a label of the model, received {label!r:.200}"
        place = pointer(("parameters", "label"))
        raise problems.invalid_request([FieldError(detail=detail, pointer=place)]) from None
