"""The open streams of an application: their limits, threads and streaming classifiers."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.streaming_classifier import StreamingClassifier, StreamingError
from gatewise.service.serving.http.metrics import Metrics
from gatewise.service.serving.http.protocol.problems import (
    NOT_STREAMED,
    TOO_MANY_STREAMS,
    ProblemError,
)

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Limits on streams."""

    streams: int = 256  # the most streams open at a time
    message_bytes: int = 65_536  # the most bytes of a message
    text_characters: int = 1_000_000  # the most characters of a text, in all its pieces
    idle_seconds: float = 60.0  # the longest time without a message, and to send one
    threads: int = 2  # the most pieces that are processed at a time
    # The origins whose pages may open streams, besides the service's own; `*` is any.
    origins: tuple[str, ...] = ()


class Streams:
    """The open streams of one application."""

    def __init__(self, limits: StreamLimits, metrics: Metrics | None = None) -> None:
        self.limits = limits
        self.metrics = metrics
        self._open = 0
        self._threads = asyncio.Semaphore(limits.threads)
        # A streaming classifier refers to the folder, not to the classifier: once a model is
        # unloaded, its entry disappears.
        self._streaming: WeakKeyDictionary[Classifier, asyncio.Future[StreamingClassifier]] = (
            WeakKeyDictionary()
        )

    @property
    def open(self) -> int:
        """The number of open streams."""
        return self._open

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Counts one stream as open while the block runs."""
        if self._open >= self.limits.streams:
            raise ProblemError(
                TOO_MANY_STREAMS, f"{self._open} streams are open, the maximum: retry later"
            )
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def run(
        self,
        function: Callable[_Arguments, _Result],
        *args: _Arguments.args,
        **kwargs: _Arguments.kwargs,
    ) -> _Result:
        """Calls a function in a thread, once one of `limits.threads` is free."""
        async with self._threads:
            return await asyncio.to_thread(function, *args, **kwargs)

    async def streaming(self, classifier: Classifier) -> StreamingClassifier:
        """Returns the streaming classifier of a model; the first call creates it."""
        future = self._streaming.get(classifier)
        if future is None or future.cancelled():
            future = asyncio.ensure_future(self.run(StreamingClassifier, classifier.artifact))
            self._streaming[classifier] = future
        try:
            # Shielded: if the first stream disconnects, others still wait for the future.
            return await asyncio.shield(future)
        except StreamingError as error:
            # Clients must not learn the folder's path.
            path = f"{classifier.artifact.folder.path}: "
            raise ProblemError(NOT_STREAMED, str(error).removeprefix(path)) from None
