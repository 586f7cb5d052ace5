"""The streaming classifier: scores after each token of a text that arrives in pieces.

After each piece the scores are those of the classifier on the text so far. The cost of a piece does
not depend on the text before it: final tokens are in the state of the network, and only the open
tokens at the end, which more text may change, are read again if they changed. Of a sequence of
numbers the steps are the tokens, all of them final.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gatewise.service.model.errors import ModelFolderError
from gatewise.service.model.input_encoding import (
    IncrementalInput,
    InputEncoding,
    Item,
    encoding_of,
)
from gatewise.service.model.model_folder import Artifact, read_model_folder
from gatewise.service.model.onnx_session import open_session
from gatewise.service.model.onnx_validation.onnx_parser import NEXT, OUTPUT, STATE
from gatewise.service.model.scores import SCORE_FUNCTIONS, apply
from gatewise.vocab.errors import EmptyTextError, GatewiseError, TokenizerError, first_line
from gatewise.vocab.tokenizer.incremental_tokenizer import TokenDelta

_MAX_CACHED = 16
"""The largest number of open tokens whose states are cached. Texts rarely have more."""

_TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}

_Token = int | NDArray[np.float32]
"""The id of a token, or the vector of a step."""


class StreamingError(GatewiseError):
    """A model that cannot read a text or a sequence before its end."""


class TextTooLongError(GatewiseError):
    """A streamed text or sequence that is too long for a model that keeps the end."""


@dataclass(frozen=True, slots=True)
class StreamScores:
    """The scores of the text so far.

    Attributes:
        tokens: The number of tokens read, without [CLS], or of steps.
        scores: The score of every class, or the number, float32, shape `(classes,)`.
    """

    tokens: int
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    """The state of the network after some tokens, and its logits."""

    tokens: int
    states: tuple[NDArray[np.generic], ...]
    logits: NDArray[np.float32]


class StreamingClassifier:
    """A loaded model that classifies token by token; safe to call from several threads.

    Attributes:
        artifact: The model.
        encoding: The encoding of its inputs.
        new_input: Makes a new, empty input that arrives in pieces.
        start: The state of the network before the first token.

    Raises:
        StreamingError: The model cannot classify a text before its end.
        ModelFolderError: Its network fails.
    """

    def __init__(self, loaded: Artifact, *, threads: int = 1) -> None:
        self.artifact = loaded
        self.encoding = encoding_of(loaded)
        step, self.new_input = _step_network(loaded, self.encoding)
        self._session = open_session(step, loaded.folder.step, threads)
        self._token, *states = self._session.get_inputs()
        self._states = [state.name for state in states]
        self._outputs = [OUTPUT, *(NEXT + name.removeprefix(STATE) for name in self._states)]
        zeros = tuple(
            np.zeros(
                [size if isinstance(size, int) else 1 for size in state.shape], _TYPES[state.type]
            )
            for state in states
        )
        begin = self.encoding.begin  # is not counted
        first = _Checkpoint(-len(begin), zeros, np.zeros(0, np.float32))
        self.start = self._after(begin, first)
        # So that a broken network fails on loading.
        self._after(self.encoding.probe()[0][len(begin) :], self.start)

    @classmethod
    def load(cls, folder: str | Path, *, threads: int = 1) -> "StreamingClassifier":
        """Reads and verifies a model folder, and opens its step network.

        Args:
            folder: A folder written by `gatewise train` with `network.direction=forward`.
            threads: Threads per call of onnxruntime.

        Raises:
            StreamingError: The model cannot classify a text before its end.
            ModelFolderError: The folder is missing, damaged, foreign or hostile.
        """
        return cls(read_model_folder(folder), threads=threads)

    def stream(self) -> "Stream":
        """A new stream, for one text or sequence."""
        return Stream(self)

    def scores(self, logits: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """The probability of each label, or the number, `(rows, classes)`."""
        return apply(SCORE_FUNCTIONS[self.artifact.config.task], np.stack(logits))

    def _after(self, tokens: Iterable[_Token], checkpoint: _Checkpoint) -> _Checkpoint:
        for token in tokens:
            checkpoint = self.read(token, checkpoint)
        return checkpoint

    def read(self, token: _Token, checkpoint: _Checkpoint) -> _Checkpoint:
        """Runs the network on one more token, an id or a vector."""
        inputs = dict(zip(self._states, checkpoint.states, strict=True))
        inputs[self._token.name] = np.array([token], dtype=_TYPES[self._token.type])
        file = self.artifact.folder.step
        try:
            logits, *states = self._session.run(self._outputs, inputs)
        except Exception as error:  # onnxruntime's own classes derive from Exception alone
            reason = first_line(error)
            raise ModelFolderError(f"{file}: the network fails: {reason}") from None
        expected = (1, len(self.artifact.labels))
        if logits.shape != expected:
            raise ModelFolderError(
                f"{file}: expected logits of shape {expected}, the network returns {logits.shape}"
            )
        for name, before, after in zip(self._states, checkpoint.states, states, strict=True):
            if after.shape != before.shape:
                raise ModelFolderError(
                    f"{file}: expected the next {name} of shape {before.shape}, the network "
                    f"returns {after.shape}"
                )
        if not np.isfinite(logits).all():
            raise ModelFolderError(f"{file}: the network returns logits that are not finite")
        return _Checkpoint(checkpoint.tokens + 1, tuple(states), logits[0])


class Stream:
    """The state of one streamed text or sequence; see `StreamingClassifier.stream`.

    Not thread-safe.

    Attributes:
        truncated: Whether it has more tokens or steps than the maximum length; the rest is ignored.
    """

    def __init__(self, classifier: StreamingClassifier) -> None:
        self._classifier = classifier
        tokens = classifier.artifact.config.gatewise.tokens
        self._max_tokens = tokens.max_length - len(classifier.encoding.begin)
        self._reads_head = tokens.keep == "head"
        self._text = classifier.new_input()
        self._final = classifier.start
        self._latest = classifier.start.tokens, classifier.start.logits
        # Open tokens, each with the checkpoint after it.
        self._open: list[tuple[_Token, _Checkpoint]] = []
        self._error: GatewiseError | None = None
        self._is_full = False  # at the maximum length: more text changes nothing
        self.truncated = False

    @property
    def tokens(self) -> int:
        """The number of tokens read, without [CLS], or of steps."""
        return self._latest[0]

    def feed(self, piece: object, *, more: bool = False) -> list[StreamScores]:
        """Reads a piece of the text or the sequence.

        Args:
            piece: The next characters; a word may be split between pieces. Of a sequence the next
                step, a number or a vector, or a list of several; NaN or None is missing.
            more: Whether more text is available, so that open tokens are not read yet.

        Returns:
            The scores after each token that is new or has changed, the last of them for the text
            so far. Later scores with the same number of tokens replace earlier ones. Empty if the
            piece changed nothing.

        Raises:
            EndlessWordError: A word exceeds the limit of an incremental tokenizer.
            TextTooLongError: The model keeps the end of texts, and this one exceeds the maximum
                length.
            TextsError: The piece is no text, of a model of texts.
            SequenceError: It is no step, of a model of sequences; the stream stays as it was.
            UnicodeEncodeError: The piece contains a lone surrogate.
        """
        return self._add(self._classifier.encoding.piece(piece), more=more)

    def _add(self, *piece: Item, more: bool = False) -> list[StreamScores]:
        """Reads a piece, or without one the open tokens."""
        if self._error:
            raise self._error
        if self._is_full:
            return []
        try:
            return self._read(self._text.add(*piece), more=more)
        except GatewiseError as error:
            self._error = error
            raise

    def latest(self) -> StreamScores:
        """The scores of the tokens read so far."""
        if not self.tokens:
            encoding = self._classifier.encoding
            what = f"it holds no {encoding.unit} to classify"
            raise EmptyTextError(f"the {encoding.input} is empty: {what}")
        return self._scores([self._latest])[0]

    def end(self) -> StreamScores:
        """The scores of the whole text, after its end."""
        self._add()
        return self.latest()

    def _read(self, delta: TokenDelta[_Token], *, more: bool) -> list[StreamScores]:
        all_ids = delta.ids + delta.open
        final, ids = (self._truncate(each) for each in (delta.ids, all_ids))
        self._is_full = len(final) < len(delta.ids)
        self.truncated = len(ids) < len(all_ids)
        if more:
            ids = final
        cached = self._cached(ids)
        checkpoint, read, opened = self._final, [], []
        for index, token in enumerate(ids):
            if index < len(cached):
                checkpoint = cached[index]
            else:
                checkpoint = self._classifier.read(token, checkpoint)
                read.append((checkpoint.tokens, checkpoint.logits))
            # Only these states are kept, so that memory does not grow with the text.
            if index + 1 == len(final):
                self._final = checkpoint
            elif len(final) <= index < len(final) + _MAX_CACHED:
                opened.append((token, checkpoint))
        before = self.tokens
        self._open = opened
        self._latest = checkpoint.tokens, checkpoint.logits
        if 0 < self.tokens < before and not (read or more):
            read = [self._latest]  # some open tokens have vanished
        return self._scores(read)

    def _truncate(self, ids: list[_Token]) -> list[_Token]:
        """The next ids, up to the maximum length."""
        remaining = self._max_tokens - self._final.tokens
        if len(ids) > remaining and not self._reads_head:
            encoding = self._classifier.encoding
            raise TextTooLongError(
                f"expected at most {self._max_tokens} {encoding.unit}s: this model keeps the end "
                f"of a longer {encoding.input}, which a stream does not know; send the whole "
                f"{encoding.input}, or train with tokens.keep=head"
            )
        return ids[:remaining]

    def _cached(self, ids: list[_Token]) -> list[_Checkpoint]:
        """The cached checkpoints of the next tokens, up to the first that changed."""
        checkpoints = []
        for token, (before, checkpoint) in zip(ids, self._open, strict=False):
            if token != before:
                break
            checkpoints.append(checkpoint)
        return checkpoints

    def _scores(self, read: Sequence[tuple[int, NDArray[np.float32]]]) -> list[StreamScores]:
        if not read:
            return []
        scores = self._classifier.scores([logits for _, logits in read])
        return [StreamScores(tokens, row) for (tokens, _), row in zip(read, scores, strict=True)]


def is_streamed(loaded: Artifact) -> bool:
    """Whether a model can classify a text or a sequence before its end."""
    if loaded.step is None:  # of most models; making the tokenizer takes a moment
        return False
    try:
        _step_network(loaded, encoding_of(loaded))
    except StreamingError:
        return False
    return True


def _step_network(
    loaded: Artifact, encoding: InputEncoding
) -> tuple[bytes, Callable[[], IncrementalInput]]:
    """The step network of a model, and what makes inputs that arrive in pieces."""
    try:
        new_input = encoding.incremental()
    except TokenizerError as error:
        raise StreamingError(f"{loaded.folder.path}: {error}") from None
    several = loaded.config.gatewise.tokens.windows > 1
    if loaded.step is None or loaded.precision != "fp32" or several:
        raise StreamingError(f"{loaded.folder.path}: {_reason(loaded)}")
    return loaded.step, new_input


def _reason(loaded: Artifact) -> str:
    """Why a model has no usable step network."""
    direction = loaded.config.gatewise.network.direction
    if direction != "forward":
        return (
            f"its network also reads from the end (network.direction={direction}): to classify "
            "what is streamed, train with network.direction=forward"
        )
    if (windows := loaded.config.gatewise.tokens.windows) > 1:
        return (
            f"it classifies up to {windows} windows of a text, a stream is one: to classify "
            "streamed texts, train with tokens.windows=1"
        )
    name = loaded.folder.name_of(loaded.folder.step)
    if loaded.step is not None:
        return f"{name} has the precision fp32, not {loaded.precision}: load the model in fp32"
    return f"it holds no {name}: to classify what is streamed, train the model again"
