"""The open streams of an application: their limits, threads and streaming classifiers."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.streaming_classifier import StreamingClassifier, StreamingError
from gatewise.service.serving.http.protocol.problems import (
    NOT_STREAMED,
    TOO_MANY_STREAMS,
    ProblemError,
)

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class Streams:
    """The open streams of one application: at most `max_streams`, `threads` processed at a time."""

    def __init__(self, max_streams: int, threads: int) -> None:
        self._max_streams = max_streams
        self._threads = asyncio.Semaphore(threads)
        self._open = 0
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
        if self._open >= self._max_streams:
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
        """Calls a function in a thread, once one of the threads is free."""
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
