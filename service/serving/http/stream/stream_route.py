"""`WS /stream`: a text comes in pieces, and its scores go out after each token.

Owns what is asked where, and the course of a stream from its first message to its last. What the
messages look like is in `gatewise.service.serving.http.stream.stream_messages`, how many streams
there may be in `gatewise.service.serving.http.stream.open_streams`, and how a text is classified
as it comes in `gatewise.service.model.streaming_classifier`.
"""

import asyncio
import logging
from urllib.parse import urlsplit

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.scores import ranked
from gatewise.service.model.streaming_classifier import Stream, StreamScores, TextTooLongError
from gatewise.service.serving.http.app_context import app_context
from gatewise.service.serving.http.middleware.request_context import request_context
from gatewise.service.serving.http.protocol import problems
from gatewise.service.serving.http.protocol.problems import FieldError, ProblemError
from gatewise.service.serving.http.stream import stream_messages as messages
from gatewise.service.serving.http.stream.open_streams import Streams
from gatewise.vocab.errors import EmptyTextError, GatewiseError
from gatewise.vocab.tokenizer.incremental_tokenizer import EndlessWordError
from starlette.responses import Response

_log = logging.getLogger(__name__)

_GONE = (WebSocketDisconnect, TimeoutError)
"""What tells that the client has gone, or takes nothing: whatever it is told, nobody reads it."""

_SLICE = 256
"""Characters that are read at a time: between two such parts others have their turn."""


def routes(streams: Streams) -> APIRouter:
    """The routes that take streams.

    Args:
        streams: Those of the application.
    """
    router = APIRouter()

    @router.websocket("/stream")
    async def stream(websocket: WebSocket) -> None:
        await _Conversation(websocket, streams).hold(None, None)

    @router.websocket("/models/{name}/stream")
    async def stream_of_model(websocket: WebSocket, name: str) -> None:
        await _Conversation(websocket, streams).hold(name, None)

    @router.websocket("/models/{name}/versions/{version}/stream")
    async def stream_of_version(websocket: WebSocket, name: str, version: str) -> None:
        await _Conversation(websocket, streams).hold(name, version)

    return router


class _Conversation:
    """One connection, from when it is made until it is closed."""

    def __init__(self, websocket: WebSocket, streams: Streams) -> None:
        self._websocket = websocket
        self._streams = streams
        self._limits = streams.limits
        self._exchange = request_context(websocket.scope)
        self._characters = 0
        self._tokens = 0

    async def hold(self, name: str | None, version: str | None) -> None:
        """Answers until the text or the connection ends, or one of them is refused."""
        websocket, path = self._websocket, self._websocket.scope["path"]
        if self._is_foreign():
            error = ProblemError(
                problems.FOREIGN_PAGE, "expected no page, or one of the service's own origin"
            )
            body = problems.document(path, error)
            answer = Response(body, error.kind.status, media_type=problems.MEDIA_TYPE)
            await websocket.send_denial_response(answer)
            return
        await websocket.accept()
        end = "gone"
        try:
            try:
                await self._hold(name, version)
                end = "done"
                await websocket.close(messages.DONE)
            except ProblemError as error:
                end = error.kind.name
                await self._refuse(error)
            except _GONE:
                raise
            except Exception:
                end = problems.UNEXPECTED.name
                _log.exception("a stream failed")
                await self._refuse(problems.unexpected())
        except _GONE:
            return
        finally:
            if self._streams.watcher:
                exchange = self._exchange
                self._streams.watcher.streamed(exchange.model, exchange.version, end, self._tokens)

    async def _refuse(self, error: ProblemError) -> None:
        await self._send(problems.document(self._websocket.scope["path"], error))
        await self._websocket.close(messages.code(error.kind))

    async def _hold(self, name: str | None, version: str | None) -> None:
        top_k = self._top_k()
        with self._streams.place():
            try:
                served = app_context(self._websocket).models.find(name, version)
            except GatewiseError as error:
                raise problems.refusal(error) from None
            self._exchange.model, self._exchange.version = served.name, served.version
            classifier: Classifier = served.classifier
            streaming = await self._streams.streaming(classifier)
            told = _Told(streaming.stream(), classifier, top_k)
            while True:
                message = await self._receive()
                piece = messages.piece(message)
                self._characters += len(piece.text)
                if self._characters > self._limits.text_characters:
                    most = self._limits.text_characters
                    raise ProblemError(
                        problems.TEXT_TOO_LONG, f"expected at most {most:,} characters of a text"
                    )
                if await self._read(told, piece):
                    return

    async def _read(self, told: "_Told", piece: messages.Piece) -> bool:
        """Answers a piece; tells whether it was the last one."""
        answers: list[str] = []
        try:
            for start in range(0, len(piece.text), _SLICE):
                end = start + _SLICE
                more = end < len(piece.text)
                answers = await self._streams.work(told.feed, piece.text[start:end], more=more)
                for answer in answers:
                    await self._send(answer)
            if piece.end:
                await self._send(await self._streams.work(told.end))
            elif not answers:
                await self._send(await self._streams.work(told.now))
        except (TextTooLongError, EndlessWordError) as error:
            raise ProblemError(problems.TEXT_TOO_LONG, str(error)) from None
        except EmptyTextError as error:
            raise ProblemError(problems.EMPTY_TEXT, str(error)) from None
        finally:
            self._tokens = told.tokens
        return piece.end

    async def _receive(self) -> str:
        """The next message.

        Raises:
            ProblemError: If none comes in time, or one that may not be.
            WebSocketDisconnect: If the client has gone.
        """
        seconds, most = self._limits.idle_seconds, self._limits.message_bytes
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
                problems.UNSUPPORTED_BODY, "expected a message of text, received one of bytes"
            )
        if len(text) > most or len(text.encode()) > most:
            raise ProblemError(
                problems.BODY_TOO_LARGE,
                f"expected at most {most:,} bytes: send the text in smaller pieces",
            )
        return text

    async def _send(self, message: str) -> None:
        async with asyncio.timeout(self._limits.idle_seconds):
            await self._websocket.send_text(message)

    def _top_k(self) -> int | None:
        told = self._websocket.query_params.get("top_k")
        if told is None:
            return None
        if not (told.isascii() and told.isdecimal() and 0 < len(told) < 10 and int(told)):
            place = FieldError(
                detail=f"expected a number above 0, received {told[:20]!r}", pointer="?top_k"
            )
            raise problems.invalid_request([place])
        return int(told)

    def _is_foreign(self) -> bool:
        """Whether a page of another origin asks.

        No browser keeps a page from opening a stream, as it does with requests.
        """
        origin = self._websocket.headers.get("origin")
        if origin is None or {"*", origin} & set(self._limits.origins):
            return False
        try:
            return urlsplit(origin).netloc != self._websocket.headers.get("host")
        except ValueError:  # no address at all
            return True


class _Told:
    """What a client is told of a text; called from threads, one at a time."""

    def __init__(self, stream: Stream, classifier: Classifier, top_k: int | None) -> None:
        self._stream = stream
        self._classifier = classifier
        self._top_k = top_k
        self.tokens = 0  # that were read so far

    def feed(self, piece: str, *, more: bool) -> list[str]:
        """A message after each token that is new or another one than before."""
        return [self._message(reading) for reading in self._stream.feed(piece, more=more)]

    def now(self) -> str:
        """A message on the text so far."""
        try:
            return self._message(self._stream.latest())
        except EmptyTextError:
            return messages.scores(0, [])

    def end(self) -> str:
        """The last message, on the whole text."""
        return self._message(self._stream.end(), end=True)

    def _message(self, reading: StreamScores, *, end: bool = False) -> str:
        classifier, scores = self._classifier, reading.scores
        (none,) = classifier.none_labels(scores[None])
        best = ranked(classifier.classes_, scores, self._top_k, none=none)
        truncated = self._stream.truncated
        self.tokens = reading.tokens
        return messages.scores(reading.tokens, best, end=end, truncated=truncated)
