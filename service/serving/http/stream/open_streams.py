"""Which streams are open, how many may be, and the work that is done for them in threads.

Owns the limits, and the network of each model that reads token by token, made when it is first
asked for. Knows neither connections nor messages.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ParamSpec, Protocol, TypeVar
from weakref import WeakKeyDictionary

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.streaming_classifier import StreamingClassifier, StreamingError
from gatewise.service.serving.http.protocol.problems import (
    NOT_STREAMED,
    TOO_MANY_STREAMS,
    ProblemError,
)

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What clients may take.

    Attributes:
        streams: Streams that are open at a time.
        message_bytes: Bytes of a message.
        text_characters: Characters of a text, all of its pieces together.
        idle_seconds: How long a client may send nothing, or take nothing of what is sent.
        threads: Pieces that are read at a time.
        origins: Origins of pages that may open streams, beside that of the service itself; `*` is
            any.
    """

    streams: int = 256
    message_bytes: int = 65_536
    text_characters: int = 1_000_000
    idle_seconds: float = 60.0
    threads: int = 2
    origins: tuple[str, ...] = ()


class StreamWatcher(Protocol):
    """Whoever counts streams."""

    def streamed(self, model: str, version: str, end: str, tokens: int) -> None:
        """A stream ended.

        Args:
            model: The model that was asked; empty if it came to none.
            version: The version of it.
            end: `done`, `gone` with its client, or the kind of problem.
            tokens: Tokens that were read of its text.
        """


class Streams:
    """The streams of one application.

    Args:
        limits: What clients may take.
        watcher: Who counts them.
    """

    def __init__(self, limits: StreamLimits, watcher: StreamWatcher | None = None) -> None:
        self.limits = limits
        self.watcher = watcher
        self._open = 0
        self._working = asyncio.Semaphore(limits.threads)
        # Its values know the folder, not the classifier: a model that is unloaded goes from here.
        self._made: WeakKeyDictionary[Classifier, asyncio.Future[StreamingClassifier]] = (
            WeakKeyDictionary()
        )

    @property
    def open(self) -> int:
        """How many streams are open."""
        return self._open

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for one stream, for as long as the block lasts.

        Raises:
            ProblemError: If there is none.
        """
        if self._open >= self.limits.streams:
            raise ProblemError(
                TOO_MANY_STREAMS,
                f"{self._open} streams are open already, as many as may be: try again later",
            )
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def work(
        self, task: Callable[_Given, _Result], *given: _Given.args, **named: _Given.kwargs
    ) -> _Result:
        """Does something in a thread, one after another where too much is to be done."""
        async with self._working:
            return await asyncio.to_thread(task, *given, **named)

    async def streaming(self, classifier: Classifier) -> StreamingClassifier:
        """The network of a model that reads token by token.

        Raises:
            ProblemError: If it has none.
        """
        made = self._made.get(classifier)
        if made is None or made.cancelled():
            made = asyncio.ensure_future(self.work(StreamingClassifier, classifier.artifact))
            self._made[classifier] = made
        try:
            # Whoever was first may go; others wait for the same.
            return await asyncio.shield(made)
        except StreamingError as error:
            # Of its own folder's path a client learns nothing.
            path = f"{classifier.artifact.folder.path}: "
            raise ProblemError(NOT_STREAMED, str(error).removeprefix(path)) from None
