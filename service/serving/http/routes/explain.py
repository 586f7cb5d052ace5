"""`POST /explain`: the labels of each text, and how much each of its tokens counts for one of them.

Owns the JSON of it, and how many explanations are made at a time: one, in a thread, for each is as
much work as some hundred predictions, and those shall not wait for it. How a share comes about is
in `gatewise.service.model.explanation`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Request, Response
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.explanation import Explanation, cost, explain
from gatewise.service.model.scores import ScoreFunction, apply, ranked, shortest
from gatewise.service.serving.http.app_context import app_context
from gatewise.service.serving.http.middleware.request_context import request_context
from gatewise.service.serving.http.protocol import problems, request_body
from gatewise.service.serving.http.protocol.problems import (
    ClientDisconnectedError,
    FieldError,
    ProblemError,
    pointer,
)
from gatewise.service.serving.http.routes.predict_schemas import LabelScore, TextsRequest
from gatewise.vocab.corpus.columns import Task
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

MOST_TOKENS = 2**18
"""Most tokens that the network reads for one request, in the texts and all their variants."""

MOST_WAITING = 8
"""Requests that wait for their turn; more are refused with 429."""

_REFUSALS = (
    *(*request_body.PROBLEMS, problems.INVALID_REQUEST, problems.EMPTY_TEXT),
    *(problems.QUEUE_FULL, problems.NOT_READY, problems.LATE),
)


class ExplainParameters(BaseModel):
    """How the answer is made; a parameter that is null counts as absent."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    label: str | None = Field(
        None, description="The label to explain; the best of each text if absent."
    )
    top_k: Annotated[int, Field(ge=1)] | None = Field(
        None, description="How many labels to answer with, best first; all when absent."
    )
    function_to_apply: ScoreFunction | None = Field(
        None,
        description="What turns the network's logits into the labels' scores; the model's own if "
        "absent. The shares do not depend on it.",
    )


class ExplainRequest(TextsRequest):
    """One text or several, to be classified and explained."""

    parameters: ExplainParameters | None = None


class TokenShare(BaseModel):
    """A token, or several that cannot be told apart, and what it counts for the label."""

    model_config = ConfigDict(frozen=True)

    start: int = Field(description="Its first character, counted in Unicode code points.")
    end: int = Field(description="The character behind its last.")
    text: str = Field(description="What stands there, as it was written.")
    share: float = Field(
        description="By how much log_odds is lower with an unknown token in its place; below zero "
        "where it speaks against the label."
    )


class Explained(BaseModel):
    """The labels of one text, and why one of them fits, or does not."""

    model_config = ConfigDict(frozen=True)

    labels: list[LabelScore] = Field(description="What /predict answers.")
    task: Task = Field(description="Whether a text has exactly one label or any number of them.")
    label: str = Field(description="The label that is explained.")
    score: float = Field(description="Its probability.")
    log_odds: float = Field(description="ln(p / (1 - p)), p being its probability.")
    tokens: list[TokenShare] = Field(description="What was read of the text, in order.")
    truncated: bool = Field(description="Whether the text is longer than what was read of it.")


class ExplainQueue:
    """Lets one at a time go on, and a few wait for it."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(1)
        self._waiting = 0

    @asynccontextmanager
    async def turn(self, seconds: float) -> AsyncIterator[None]:
        """Waits for the block's turn.

        Args:
            seconds: How long, at the most.

        Raises:
            ProblemError: If too many wait already, or it takes too long.
        """
        if self._waiting >= MOST_WAITING:
            raise ProblemError(
                problems.QUEUE_FULL,
                f"{MOST_WAITING} requests wait for explanations already: ask again",
            )
        self._waiting += 1
        try:
            await asyncio.wait_for(self._turn.acquire(), seconds)
        except TimeoutError:
            detail = f"the explanations of others took more than {seconds:g} s: ask again"
            raise ProblemError(problems.LATE, detail) from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turn.release()


def routes() -> APIRouter:
    """The routes of one application, which wait for each other and for no other's."""
    router = APIRouter()
    turns = ExplainQueue()
    asked: dict[str, Any] = {
        "openapi_extra": request_body.openapi(ExplainRequest),
        "responses": problems.responses(*_REFUSALS),
    }
    named = {**asked, "responses": problems.responses(problems.NO_MODEL, *_REFUSALS)}

    @router.post("/explain", summary="Classify texts and say why", **asked)
    async def explain_texts(request: Request, response: Response) -> list[Explained]:
        """Answers one object a text, in the order of the texts."""
        return await _answer(request, response, turns)

    @router.post("/models/{name}/explain", summary="Explain by a model", **named)
    async def explain_by_model(request: Request, response: Response, name: str) -> list[Explained]:
        """Answers as `/explain` does, by the version of the model whose turn it is."""
        return await _answer(request, response, turns, name)

    @router.post(
        "/models/{name}/versions/{version}/explain", summary="Explain by a version", **named
    )
    async def explain_by_version(
        request: Request, response: Response, name: str, version: str
    ) -> list[Explained]:
        """Answers as `/explain` does, by that version of the model."""
        return await _answer(request, response, turns, name, version)

    return router


async def _answer(
    request: Request,
    response: Response,
    turns: ExplainQueue,
    name: str | None = None,
    version: str | None = None,
) -> list[Explained]:
    context = app_context(request)
    settings = context.settings
    asked = await request_body.read(
        request.scope, request.receive, ExplainRequest, settings.max_body_bytes
    )
    if len(asked.texts) > settings.max_texts:
        detail = f"expected at most {settings.max_texts} texts, received {len(asked.texts)}"
        raise problems.invalid_request([FieldError(detail=detail, pointer="#/inputs")])
    exchange = request_context(request.scope)
    if settings.log_texts:
        exchange.texts = asked.texts
    served = context.models.find(name, version)
    exchange.model, exchange.version = served.name, served.version
    response.headers["Gatewise-Model"] = served.name
    response.headers["Gatewise-Version"] = served.version
    async with turns.turn(settings.deadline_seconds):
        if await request.is_disconnected():
            raise ClientDisconnectedError
        explained = await asyncio.to_thread(answers, served.classifier, asked)
    if truncated := sum(one.truncated for one in explained):
        response.headers["Gatewise-Truncated-Texts"] = str(truncated)
    return explained


def answers(classifier: Classifier, asked: ExplainRequest) -> list[Explained]:
    """What a request is answered with.

    Raises:
        ProblemError: If the model has no such label, a text no token, or the texts are too long.
    """
    parameters = asked.parameters or ExplainParameters()
    index = None if parameters.label is None else _index(classifier, parameters.label)
    located = classifier.locate(asked.texts)
    if empty := [place for place, text in enumerate(located) if text.encoded.is_empty]:
        raise problems.empty_texts([asked.place(place) for place in empty])
    if (tokens := sum(map(cost, located))) > MOST_TOKENS:
        detail = (
            f"expected texts that take at most {MOST_TOKENS} tokens to explain, received texts "
            f"that take {tokens}: send them in several requests"
        )
        raise problems.invalid_request([FieldError(detail=detail, pointer="#/inputs")])
    found = explain(classifier, located, index)
    logits = np.stack([explanation.logits for explanation in found])
    own = classifier.score_function
    probabilities = apply(own, logits)
    scores = apply(parameters.function_to_apply or own, logits)
    nones = classifier.none_labels(probabilities)
    labels = [
        ranked(classifier.classes_, row, parameters.top_k, none=none)
        for row, none in zip(scores, nones, strict=True)
    ]
    return [
        _explained(classifier, *one)
        for one in zip(asked.texts, found, probabilities, labels, strict=True)
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
                start=each.start, end=each.end, text=text[each.start : each.end], share=each.share
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
