"""Texts classified as they come: the scores after each token, the state carried along.

A text comes in pieces of any size. After each piece the scores are those that the classifier gives
the text so far, and at its end those of the whole text. The work for a piece does not depend on
the text before it: what is settled is in the state of the network, and only the tokens at the end
that more text may change are read again, where they changed. Knows no HTTP.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gatewise.service.model.errors import ModelFolderError
from gatewise.service.model.model_folder import Artifact, read_model_folder
from gatewise.service.model.onnx_session import first_line, open_session
from gatewise.service.model.onnx_validation.parsed_network import NEXT, OUTPUT, STATE, TOKEN
from gatewise.service.model.scores import ScoreFunction, apply
from gatewise.vocab.errors import EmptyTextError, GatewiseError, TokenizerError
from gatewise.vocab.tokenizer.incremental_tokenizer import IncrementalTokenizer
from gatewise.vocab.tokenizer.tokenizer import CLS_ID
from numpy.typing import NDArray

_MOST_AHEAD = 16
"""Tokens that more text may change and that are not read again where it does not. Few are open, and
of those beyond it each would keep a whole state."""

_TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


class StreamingError(GatewiseError):
    """A model that cannot classify a text before it has ended; the message says why."""


class TextTooLongError(GatewiseError):
    """A text that came in pieces and is longer than what the model reads of both its ends."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model says of a text so far.

    Attributes:
        tokens: Tokens read, the begin mark not counted.
        scores: The score of every class, float32, shape `(classes,)`.
    """

    tokens: int
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Point:
    """A network that has read some tokens: what it carries on, and its logits."""

    tokens: int
    states: tuple[NDArray[np.generic], ...]
    logits: NDArray[np.float32]


class StreamingClassifier:
    """A model folder that answers token by token; safe to call from several threads.

    Args:
        loaded: The folder.
        threads: Threads that one call of the engine may use.

    Attributes:
        artifact: The folder.

    Raises:
        StreamingError: If the model cannot classify a text before it has ended.
        ModelFolderError: If its network cannot answer.
    """

    def __init__(self, loaded: Artifact, *, threads: int = 1) -> None:
        self.artifact = loaded
        self.texts = _texts(loaded)
        if loaded.step is None or loaded.precision != "fp32":
            raise StreamingError(f"{loaded.folder.path}: {_reason(loaded)}")
        self._session = open_session(loaded.step, loaded.folder.step, threads)
        states = [one for one in self._session.get_inputs() if one.name != TOKEN]
        self._states = [one.name for one in states]
        self._outputs = [OUTPUT, *(NEXT + name.removeprefix(STATE) for name in self._states)]
        zeros = tuple(
            np.zeros([size if isinstance(size, int) else 1 for size in one.shape], _TYPES[one.type])
            for one in states
        )
        # The begin mark is every text's first token, and none of its own.
        self.start = self.read(CLS_ID, _Point(-1, zeros, np.zeros(0, np.float32)))
        # With the largest id there is, so that a folder that loads also answers.
        self.read(loaded.config.vocab_size - 1, self.start)

    @classmethod
    def load(cls, folder: str | Path, *, threads: int = 1) -> "StreamingClassifier":
        """Reads, verifies and prepares a model folder.

        Args:
            folder: A folder written by `gatewise train` with `network.direction=forward`.
            threads: Threads that one call of the engine may use.

        Raises:
            StreamingError: If the model cannot classify a text before it has ended.
            ModelFolderError: If the folder is missing, damaged, foreign or hostile.
        """
        return cls(read_model_folder(folder), threads=threads)

    def stream(self) -> "Stream":
        """A new text, of which nothing has come."""
        return Stream(self)

    def scores(self, logits: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """The probabilities of each label, `(rows, classes)`."""
        function: ScoreFunction = "sigmoid" if self.artifact.config.multi_label else "softmax"
        return apply(function, np.stack(logits))

    def read(self, token: int, point: _Point) -> _Point:
        """Reads one token more.

        Raises:
            ModelFolderError: If the network cannot answer.
        """
        inputs = dict(zip(self._states, point.states, strict=True))
        inputs[TOKEN] = np.array([token], dtype=np.int64)
        file = self.artifact.folder.step
        try:
            logits, *states = self._session.run(self._outputs, inputs)
        except Exception as error:  # onnxruntime's own classes derive from Exception alone
            told = f"the network cannot answer: {first_line(error)}"
            raise ModelFolderError(f"{file}: {told}") from None
        expected = (1, len(self.artifact.labels))
        if logits.shape != expected:
            raise ModelFolderError(
                f"{file}: expected logits of shape {expected}, the network gives {logits.shape}"
            )
        for name, before, after in zip(self._states, point.states, states, strict=True):
            if after.shape != before.shape:
                raise ModelFolderError(
                    f"{file}: expected {name} of shape {before.shape} after a token too, the "
                    f"network gives {after.shape}"
                )
        if not np.isfinite(logits).all():
            raise ModelFolderError(f"{file}: its weights give logits that are no finite numbers")
        return _Point(point.tokens + 1, tuple(states), logits[0])


class Stream:
    """A text that comes in pieces; see `StreamingClassifier.stream`. Of one thread at a time.

    Attributes:
        truncated: Whether more tokens came than the model reads, which reads the first ones.
    """

    def __init__(self, classifier: StreamingClassifier) -> None:
        self._classifier = classifier
        tokens = classifier.artifact.config.gatewise.tokens
        self._most = tokens.max_length - 1
        self._reads_head = tokens.keep == "head"
        self._text = classifier.texts.text()
        self._settled = classifier.start
        self._now = classifier.start.tokens, classifier.start.logits
        # Tokens that more text may change, each with the network after it.
        self._ahead: list[tuple[int, _Point]] = []
        self._fault: GatewiseError | None = None
        self._is_full = False  # what follows changes nothing
        self.truncated = False

    @property
    def tokens(self) -> int:
        """Tokens that were read, the begin mark not counted."""
        return self._now[0]

    def feed(self, piece: str, *, more: bool = False) -> list[Reading]:
        """Reads a piece of the text.

        Args:
            piece: What comes next; a word may be cut in two.
            more: Whether more is at hand, so that tokens which it may change are not read yet.

        Returns:
            A reading after each token that is new or another one than before; of several with the
            same number of tokens the last counts. The last is of the text so far. Empty if the
            piece changed nothing.

        Raises:
            EndlessWordError: If a token does not end.
            TextTooLongError: If the model reads the end of a text too, and this one has more tokens
                than it reads.
            UnicodeEncodeError: If the piece holds half a character of UTF-16.
        """
        if self._fault:
            raise self._fault
        if self._is_full:
            return []
        try:
            return self._read(piece, more=more)
        except GatewiseError as error:
            self._fault = error
            raise

    def latest(self) -> Reading:
        """What the model says of the tokens that were read.

        Raises:
            EmptyTextError: If there is none.
        """
        if not self.tokens:
            raise EmptyTextError("the text is empty: it holds no token to classify")
        return self._readings([self._now])[0]

    def end(self) -> Reading:
        """What the model says of the whole text.

        Raises:
            EmptyTextError: If it holds no token.
            TextTooLongError: See `feed`.
        """
        self.feed("")
        return self.latest()

    def _read(self, piece: str, *, more: bool) -> list[Reading]:
        growth = self._text.add(piece)
        everything = growth.ids + growth.open
        settled, ids = (self._cut(some) for some in (growth.ids, everything))
        self._is_full = len(settled) < len(growth.ids)
        self.truncated = len(ids) < len(everything)
        if more:
            ids = settled
        known = self._known(ids)
        point, read, ahead = self._settled, [], []
        for place, token in enumerate(ids):
            if place < len(known):
                point = known[place]
            else:
                point = self._classifier.read(token, point)
                read.append((point.tokens, point.logits))
            # The states of other tokens are let go: there may be many, and each is as large.
            if place + 1 == len(settled):
                self._settled = point
            elif len(settled) <= place < len(settled) + _MOST_AHEAD:
                ahead.append((token, point))
        before = self.tokens
        self._ahead = ahead
        self._now = point.tokens, point.logits
        if 0 < self.tokens < before and not (read or more):
            read = [self._now]  # some of the tokens before are none any more
        return self._readings(read)

    def _cut(self, ids: list[int]) -> list[int]:
        """As many of the next ids as the model reads."""
        room = self._most - self._settled.tokens
        if len(ids) > room and not self._reads_head:
            raise TextTooLongError(
                f"expected at most {self._most} tokens: of a longer text this model reads the end "
                "too, which is not known before; send it as a whole, or train with tokens.keep=head"
            )
        return ids[:room]

    def _known(self, ids: list[int]) -> list[_Point]:
        """The points of those of the next tokens that were read already."""
        points = []
        for token, (before, point) in zip(ids, self._ahead, strict=False):
            if token != before:
                break
            points.append(point)
        return points

    def _readings(self, read: Sequence[tuple[int, NDArray[np.float32]]]) -> list[Reading]:
        if not read:
            return []
        scores = self._classifier.scores([logits for _, logits in read])
        return [Reading(tokens, row) for (tokens, _), row in zip(read, scores, strict=True)]


def is_streamed(loaded: Artifact) -> bool:
    """Whether a model folder can classify a text before it has ended, told without trying."""
    if loaded.step is None or loaded.precision != "fp32":
        return False
    try:
        _texts(loaded)
    except StreamingError:
        return False
    return True


def _texts(loaded: Artifact) -> IncrementalTokenizer:
    try:
        return IncrementalTokenizer(loaded.tokenizer)
    except TokenizerError as error:
        raise StreamingError(f"{loaded.folder.path}: {error}") from None


def _reason(loaded: Artifact) -> str:
    """Why a folder has no network that gives its scores token by token."""
    direction = loaded.config.gatewise.network.direction
    if direction != "forward":
        return (
            f"its network reads texts from their end (network.direction={direction}): to classify "
            "texts as they come, train with network.direction=forward"
        )
    name = loaded.folder.name_of(loaded.folder.step)
    if loaded.step is not None:
        return f"{name} has weights of 32 bits, not those of {loaded.precision}: load it in fp32"
    return f"it holds no {name}: to classify texts as they come, train the model again"
