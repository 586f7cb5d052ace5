"""A teacher that is a language model behind an endpoint: it is asked for the label of each text.

The probabilities of the labels are those of the tokens of its answer, if the endpoint gives them,
else the shares of the labels in several answers. An answer that is no label is asked for once more.
"""

import hashlib
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gatewise.training.fit.progress import Finding, OnProgress
from gatewise.training.teacher.answer_cache import AnswerCache, KeptAnswers
from gatewise.training.teacher.completion import RefusedTextError
from gatewise.training.teacher.label_prompt import LabelPrompt
from gatewise.training.teacher.teacher import Teacher, TeacherCard, TeacherError
from gatewise.training.teacher.vector_cache import OnTexts

if TYPE_CHECKING:
    from gatewise.training.teacher.chat_endpoint import ChatEndpoint

_CONCURRENT = 8
"""Requests at a time."""

_ALTERNATIVES = 20
"""Tokens whose probabilities are asked for; no endpoint allows more."""

_MAX_UNLABELLED_IN_A_ROW = 20
_CHARACTERS_OF_TOKEN = 4


class EndpointTeacher(Teacher):
    """Its vectors are its probabilities.

    It keeps its answers itself, one by one, where a `VectorCache` keeps vectors by the hundred.

    Attributes:
        folder: Where it keeps them.
    """

    def __init__(
        self,
        endpoint: "ChatEndpoint",
        prompt: LabelPrompt,
        votes: int,
        folder: Path,
        on_progress: OnProgress,
    ) -> None:
        """Takes the endpoint; nothing is sent, and no folder read, yet.

        Args:
            endpoint: The endpoint.
            prompt: The question about a text.
            votes: Answers to each text, where an endpoint gives no log-probabilities.
            folder: Folder of the answers, locked from the first text on.
            on_progress: Called with what requests have cost so far.
        """
        self._endpoint, self._prompt, self._votes = endpoint, prompt, votes
        self.folder, self._on_progress = folder, on_progress
        self.width = len(prompt.labels)
        self.fingerprint = f"{self._prompt.digest}-{endpoint.url}-{endpoint.model}"
        self.card = TeacherCard(endpoint.model, "language model behind an endpoint", None, None)
        self._gives_probabilities: bool | None = None
        self._lock = threading.Lock()
        self._requests = self._read = self._written = 0
        self._next_report = 10
        self._unlabelled_in_a_row = 0
        self._without: set[str] = set()
        self._refused: set[str] = set()

    def vectors(
        self, texts: Sequence[str], on_texts: OnTexts = lambda _: None
    ) -> NDArray[np.float32]:
        """The probability of each label for some texts; NaN for a text without any.

        Args:
            texts: The texts.
            on_texts: Called as they are done; those that were kept are done at once.

        Raises:
            TeacherError: If the endpoint does not answer, or not with labels. What it answered
                before is kept.
        """
        counts = Counter(texts)
        missing = [text for text in counts if not self._is_done(text)]
        on_texts(len(texts) - sum(counts[text] for text in missing))
        try:
            with self._endpoint.connected():
                # Alone: the first answer tells what the endpoint gives, or what is wrong.
                alone = 1 if self._gives_probabilities is None else 0
                for group in (missing[:alone], missing[alone:]):
                    self._ask_all(group, lambda text: on_texts(counts[text]))
            # Others were answered, so these were refused for what they hold.
            for text in self._refused & counts.keys():
                self._cache.end(text, None)
            self._refused -= counts.keys()
        except TeacherError as error:
            raise TeacherError(f"{error}{self._kept_so_far()}", option=error.option) from None
        found = {text: self._result(text) for text in counts}
        self._without |= {text for text, row in found.items() if math.isnan(row[0])}
        return np.array([found[text] for text in texts], np.float32).reshape(-1, self.width)

    def probabilities(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """The same in the precision of targets; NaN for a text without any."""
        wide = vectors.astype(np.float64)
        return np.asarray(wide / wide.sum(axis=1, keepdims=True))

    def count_missing(self, texts: Sequence[str]) -> int:
        """How many of some texts are not labelled yet."""
        return sum(not self._is_done(text) for text in set(texts))

    def report_cost(self, texts: Iterable[str]) -> None:
        """Reports what labelling some texts will cost, before it begins."""
        missing = [len(text) for text in set(texts) if not self._is_done(text)]
        question = len(self._prompt.messages("")[0]["content"])
        tokens = (len(missing) * question + sum(missing)) // _CHARACTERS_OF_TOKEN
        several = (
            ""
            if self._gives_probabilities or self._votes == 1
            else f", up to {self._votes} times as many without log-probabilities (teacher.votes)"
        )
        self._report(
            f"{len(missing):,} texts to label that it has not answered before: about {tokens:,} "
            f"tokens to read, at four characters each{several}"
        )

    def report_use(self) -> None:
        """Reports what the requests of this run have cost, and the texts without a label."""
        without = f"; {len(self._without):,} texts got no label" if self._without else ""
        self._report(f"{self._use()}{without}")

    def _use(self) -> str:
        tokens = (
            f"{self._read:,} tokens read and {self._written:,} written"
            if self._read or not self._requests
            else "the endpoint does not count its tokens"
        )
        return f"{self._requests:,} requests, {tokens}"

    def _ask_all(self, texts: Sequence[str], on_text: Callable[[str], None]) -> None:
        with ThreadPoolExecutor(_CONCURRENT) as pool:
            asked = {pool.submit(self._ask, text): text for text in texts}
            try:
                for done in as_completed(asked):
                    done.result()
                    on_text(asked[done])
                    if self._requests >= self._next_report:
                        self._next_report = 10 * self._requests
                        self._report(f"so far {self._use()}")
            except BaseException:
                # The requests on their way are paid for: their answers are still kept.
                self._endpoint.stop()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _ask(self, text: str) -> None:
        """Asks for the label of a text until it is done."""
        rejected: str | None = None
        while not self._is_done(text):
            kept = self._cache.answers(text)
            try:
                rejected = self._ask_once(text, kept, rejected)
            except RefusedTextError:
                # The first text of all is refused for what is in every request.
                if not self._requests and not self._cache.labelled:
                    raise
                self._refused.add(text)
        self._check_labels(text, rejected)

    def _ask_once(self, text: str, kept: KeptAnswers, rejected: str | None) -> str | None:
        """Sends a request and keeps its answers; returns one that is no label."""
        several = self._gives_probabilities is False
        given = len(kept.votes)
        count = min(self._votes - len(kept.labels), 2 * self._votes - given) if several else 1
        options = self._prompt.options
        if several:
            options |= {"temperature": 1, **({"n": count} if count > 1 else {})}
        else:
            options |= {"temperature": 0, "logprobs": True, "top_logprobs": _ALTERNATIVES}
        done = self._endpoint.complete(self._prompt.messages(text, rejected), options)
        with self._lock:
            self._requests += 1
            self._read += done.read
            self._written += done.written
        labels = [self._prompt.label_of(answer.text) for answer in done.answers]
        first = done.answers[0]
        if self._gives_probabilities is None and first.text:
            self._gives_probabilities = first.tokens is not None
        if self._gives_probabilities and labels[0] is not None:
            found = self._prompt.probabilities(first.tokens or (), labels[0])
            self._cache.end(text, found.tolist())
            return None
        self._cache.add_votes(text, labels)
        if self._gives_probabilities and given:
            self._cache.end(text, None)
        answered = zip(done.answers, labels, strict=True)
        return next((answer.text for answer, label in answered if label is None), None)

    def _check_labels(self, text: str, rejected: str | None) -> None:
        """Stops where one text after another gets no label."""
        with self._lock:
            has_label = not math.isnan(self._result(text)[0])
            self._unlabelled_in_a_row = 0 if has_label else self._unlabelled_in_a_row + 1
            if self._unlabelled_in_a_row < _MAX_UNLABELLED_IN_A_ROW:
                return
        reason = "the requests were refused"
        if rejected is not None:
            reason = f"the last answer was {' '.join(rejected.split())[:100]!r}"
        raise TeacherError(
            f"teacher {self.card.name}: expected the name of a label as the answer, received none "
            f"for {_MAX_UNLABELLED_IN_A_ROW} texts one after another: {reason}: choose another "
            "model, or describe the labels (teacher.descriptions)"
        )

    def _is_done(self, text: str) -> bool:
        kept = self._cache.answers(text)
        return (
            kept.is_final
            or len(kept.labels) >= self._votes
            or len(kept.votes) >= 2 * self._votes
            or text in self._refused
        )

    def _result(self, text: str) -> Sequence[float]:
        kept = self._cache.answers(text)
        if kept.probabilities is not None:
            return kept.probabilities
        if kept.is_final or not kept.labels:
            return [math.nan] * self.width
        return [kept.labels.count(label) / len(kept.labels) for label in range(self.width)]

    def _kept_so_far(self) -> str:
        labelled = self._cache.labelled
        if not labelled:
            return ""
        return (
            f". What it answered for {labelled:,} texts is kept in {self._cache.file}: "
            "the same run goes on from there"
        )

    @cached_property
    def _cache(self) -> AnswerCache:
        about = {"model": self._endpoint.model, "prompt": self._prompt.messages("…")[0]["content"]}
        digest = hashlib.sha256(self.fingerprint.encode()).hexdigest()[:32]
        return AnswerCache(self.folder / f"answers-{digest}.jsonl", about)

    def _report(self, message: str) -> None:
        self._on_progress(Finding(f"teacher {self.card.name}: {message}"))
