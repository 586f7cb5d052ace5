"""`WS /stream`: receives a text in pieces and sends its scores after each token.

Of a sequence of numbers it receives the steps, and sends the scores after each. Messages are JSON
objects. A stream that fails sends a problem document before it closes, with a close code of RFC
6455, section 7.4.1.
"""

import asyncio
import json
import logging
from typing import Any, Self
from urllib.parse import urlsplit

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.input_encoding import InputEncoding, Item
from gatewise.service.model.scores import ranked
from gatewise.service.model.streaming_classifier import Stream, StreamScores, TextTooLongError
from gatewise.service.serving.http.app_context import app_context
from gatewise.service.serving.http.middleware.access_log import request_context
from gatewise.service.serving.http.protocol import problems, request_body
from gatewise.service.serving.http.protocol.problems import (
    FieldError,
    Kind,
    ProblemError,
)
from gatewise.vocab.errors import EmptyTextError, GatewiseError, SequenceError
from gatewise.vocab.tokenizer.incremental_tokenizer import EndlessWordError

_log = logging.getLogger(__name__)

_DISCONNECTED = (WebSocketDisconnect, TimeoutError)
"""Raised if the client has disconnected, or receives nothing: there is nobody to answer."""

_SLICE = 256
"""Characters or steps that are processed at a time; between two slices other streams get their
turn."""

_DONE, _POLICY_VIOLATION = 1000, 1008
_CLOSE_CODES = {
    problems.UNSUPPORTED_BODY: 1003,
    problems.MALFORMED_BODY: 1007,
    problems.INVALID_REQUEST: 1007,
    problems.BODY_TOO_LARGE: 1009,
    problems.TEXT_TOO_LONG: 1009,
    problems.UNEXPECTED: 1011,
    problems.NOT_READY: 1013,
    problems.TOO_MANY_STREAMS: 1013,
}

routes = APIRouter()


@routes.websocket("/stream")
async def stream(websocket: WebSocket) -> None:
    """Classifies a text token by token, or a sequence step by step."""
    await _Connection(websocket).serve(None, None)


@routes.websocket("/models/{name}/stream")
async def stream_by_model(websocket: WebSocket, name: str) -> None:
    """The same, with a version of the model that traffic shares choose."""
    await _Connection(websocket).serve(name, None)


@routes.websocket("/models/{name}/versions/{version}/stream")
async def stream_by_version(websocket: WebSocket, name: str, version: str) -> None:
    """The same, with this version of the model."""
    await _Connection(websocket).serve(name, version)


class Piece(BaseModel):
    """A message of the client."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    text: str = Field("", description="The next characters of the text; a word may be split.")
    sequence: Any = Field(
        None,
        description="The next step of a sequence of numbers: a number, or a vector if a step has "
        "several; or a list of steps. null is a missing number.",
    )
    end: bool = Field(False, description="Whether the text or the sequence ends with this message.")

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        if not self.model_fields_set:
            raise PydanticCustomError("nothing", 'expected "text" or "sequence", or "end"')
        return self

    def of(self, encoding: InputEncoding) -> Item:
        """The next piece, as a model reads it; an empty text where the message has none.

        Raises:
            ProblemError: The message has that of another kind of model, or one that cannot be used.
        """
        received = self.model_fields_set - {"end"}
        if others := received - {encoding.input}:
            (other,) = others
            detail = f'expected "{encoding.input}", which this model reads, received "{other}"'
            raise problems.invalid_request([FieldError(detail=detail, pointer=f"#/{other}")])
        if not received:
            return ""
        try:
            return encoding.piece(getattr(self, encoding.input))
        except SequenceError as error:
            place = FieldError(detail=str(error), pointer=f"#/{encoding.input}")
            raise problems.invalid_request([place]) from None


def scores_message(
    tokens: int, ranked: list[tuple[str, float]], *, end: bool = False, truncated: bool = False
) -> str:
    """Returns a message with the scores of the text so far.

    >>> scores_message(2, [("ham", 0.75), ("spam", 0.25)], end=True)[:60]
    '{"tokens":2,"scores":[{"label":"ham","score":0.75},{"label":'
    """
    rows = [{"label": label, "score": score} for label, score in ranked]
    message = {"tokens": tokens, "scores": rows, "end": end, "truncated": truncated}
    return json.dumps(message, separators=(",", ":"))


def close_code(kind: Kind) -> int:
    """Returns the code that closes a connection after a problem of this kind."""
    return _CLOSE_CODES.get(kind, _POLICY_VIOLATION)


class _Connection:
    """One WebSocket connection, from the request until it is closed."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._context = app_context(websocket)
        self._streams = self._context.streams
        self._settings = self._context.settings
        self._record = request_context(websocket.scope)
        self._size = 0  # characters or numbers
        self._tokens = 0

    async def serve(self, name: str | None, version: str | None) -> None:
        """Answers until the input or the connection ends, or a message is refused."""
        websocket, path = self._websocket, self._websocket.scope["path"]
        if self._is_cross_origin():
            error = ProblemError(
                problems.FOREIGN_PAGE, "expected no page, or one of the service's own origin"
            )
            await websocket.send_denial_response(problems.response(path, error))
            return
        await websocket.accept()
        end = "gone"
        try:
            try:
                await self._classify(name, version)
                end = "done"
                await websocket.close(_DONE)
            except ProblemError as error:
                end = error.kind.name
                await self._close(error)
            except _DISCONNECTED:
                raise
            except Exception:
                end = problems.UNEXPECTED.name
                _log.exception("a stream failed")
                await self._close(problems.unexpected())
        except _DISCONNECTED:
            return
        finally:
            self._context.metrics.streamed(
                self._record.model, self._record.version, end, self._tokens
            )

    async def _close(self, error: ProblemError) -> None:
        await self._send(problems.document(self._websocket.scope["path"], error))
        await self._websocket.close(close_code(error.kind))

    async def _classify(self, name: str | None, version: str | None) -> None:
        top_k = self._top_k()
        with self._streams.admitted():
            try:
                served = self._context.models.find(name, version)
            except GatewiseError as error:
                raise problems.refusal(error) from None
            self._record.model, self._record.version = served.name, served.version
            streaming = await self._streams.streaming(served.classifier)
            scorer = _Scorer(streaming.stream(), served.classifier, top_k)
            while True:
                message = request_body.parse(Piece, await self._receive())
                piece = message.of(streaming.encoding)
                self._size += len(piece) if isinstance(piece, str) else piece.size
                limit = self._settings.max_stream_characters
                if self._size > limit:
                    unit = (
                        "numbers of a sequence"
                        if streaming.encoding.features
                        else "characters of a text"
                    )
                    raise ProblemError(problems.TEXT_TOO_LONG, f"expected at most {limit:,} {unit}")
                await self._answer(scorer, piece, end=message.end)
                if message.end:
                    return

    async def _answer(self, scorer: "_Scorer", piece: Item, *, end: bool) -> None:
        messages: list[str] = []
        try:
            for start in range(0, len(piece), _SLICE):
                stop = start + _SLICE
                more = stop < len(piece)
                messages = await self._streams.run(scorer.feed, piece[start:stop], more=more)
                for message in messages:
                    await self._send(message)
            if end:
                await self._send(await self._streams.run(scorer.end))
            elif not messages:
                await self._send(await self._streams.run(scorer.latest))
        except (TextTooLongError, EndlessWordError) as error:
            raise ProblemError(problems.TEXT_TOO_LONG, str(error)) from None
        except EmptyTextError as error:
            raise ProblemError(problems.EMPTY_TEXT, str(error)) from None
        finally:
            self._tokens = scorer.tokens

    async def _receive(self) -> str:
        """Receives the next message."""
        seconds = self._settings.stream_idle_seconds
        limit = self._settings.max_stream_message_bytes
        try:
            async with asyncio.timeout(seconds):
                message = await self._websocket.receive()
        except TimeoutError:
            detail = f"expected a message within {seconds:g} s"
            raise ProblemError(problems.IDLE, detail) from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        text: str | None = message.get("text")
        if text is None:
            raise ProblemError(
                problems.UNSUPPORTED_BODY, "expected a text message, received a binary one"
            )
        if len(text) > limit or len(text.encode()) > limit:
            raise ProblemError(
                problems.BODY_TOO_LARGE,
                f"expected at most {limit:,} bytes: send it in smaller pieces",
            )
        return text

    async def _send(self, message: str) -> None:
        async with asyncio.timeout(self._settings.stream_idle_seconds):
            await self._websocket.send_text(message)

    def _top_k(self) -> int | None:
        value = self._websocket.query_params.get("top_k")
        if value is None:
            return None
        if not (value.isascii() and value.isdecimal() and 0 < len(value) < 10 and int(value)):
            detail = f"expected a number above 0, received {value[:20]!r}"
            raise problems.invalid_request([FieldError(detail=detail, pointer="?top_k")])
        return int(value)

    def _is_cross_origin(self) -> bool:
        """Whether a page of an origin that is not allowed opens the stream.

        Browsers apply no same-origin policy to WebSockets, so the service checks the origin.
        """
        origin = self._websocket.headers.get("origin")
        if origin is None or {"*", origin} & set(self._settings.origins()):
            return False
        try:
            return urlsplit(origin).netloc != self._websocket.headers.get("host")
        except ValueError:  # not a URL
            return True


class _Scorer:
    """Classifies the pieces of an input and writes the messages; called from threads in turn."""

    def __init__(self, stream: Stream, classifier: Classifier, top_k: int | None) -> None:
        self._stream = stream
        self._classifier = classifier
        self._top_k = top_k
        self.tokens = 0  # of the last message

    def feed(self, piece: Item, *, more: bool) -> list[str]:
        """Returns a message for each token that is new or has changed."""
        return [self._message(result) for result in self._stream.feed(piece, more=more)]

    def latest(self) -> str:
        """Returns a message with the scores of the input so far."""
        try:
            return self._message(self._stream.latest())
        except EmptyTextError:
            return scores_message(0, [])

    def end(self) -> str:
        """Returns the last message, with the scores of the complete input."""
        return self._message(self._stream.end(), end=True)

    def _message(self, result: StreamScores, *, end: bool = False) -> str:
        classifier, scores = self._classifier, result.scores
        (none,) = classifier.none_labels(scores[None])
        in_order = classifier.has_numbers
        best = ranked(classifier.classes_, scores, self._top_k, none=none, in_order=in_order)
        self.tokens = result.tokens
        return scores_message(result.tokens, best, end=end, truncated=self._stream.truncated)
