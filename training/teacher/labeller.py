"""The teachers of a run: opened, their probabilities averaged, their speed."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gatewise.training.config.config import Config
from gatewise.training.fit.progress import OnProgress
from gatewise.training.teacher.encoder_choice import check_encoder, open_encoder
from gatewise.training.teacher.endpoint_teacher import EndpointTeacher
from gatewise.training.teacher.frozen_encoder import FrozenEncoder
from gatewise.training.teacher.gatewise_model import GatewiseModel, is_gatewise_model
from gatewise.training.teacher.label_prompt import LabelPrompt
from gatewise.training.teacher.teacher import (
    LabelledTexts,
    Lesson,
    Teacher,
    TeacherError,
)
from gatewise.training.teacher.text_encoder import TextEncoder
from gatewise.training.teacher.vector_cache import OnTexts, VectorCache
from gatewise.vocab.corpus.labels import Labels
from gatewise.vocab.corpus.record_stream import open_records

if TYPE_CHECKING:
    from gatewise.training.teacher.chat_endpoint import ChatEndpoint


def check_teachers(config: Config) -> Config:
    """Finds the files of every teacher and of the unlabelled texts, before rows are read.

    Returns:
        The settings, with the name of the endpoint's only model where none is set.

    Raises:
        GatewiseError: If a folder has no teacher that can be used, or a file of unlabelled texts
            is missing or has no text column.
        ModuleNotFoundError: If a teacher needs a package that is not installed.
    """
    if config.teacher.url is not None:
        config = config.changed("teacher", model=_endpoint(config).model)
    for path in config.teacher.folders:
        if not is_gatewise_model(path):
            check_encoder(path, config)
    for path in config.teacher.unlabelled:
        records = open_records(path, options=config.corpus.read_options())
        records.require(config.corpus.text_column, "text_column")
    return config


def open_teachers(
    config: Config,
    labels: Labels,
    lesson: Lesson,
    cache: Path,
    on_progress: OnProgress,
) -> list[Teacher]:
    """Loads the teachers.

    Args:
        config: The run's settings.
        labels: The labels of the corpus.
        lesson: What an encoder becomes a classifier by.
        cache: Folder of the teachers' results, locked.
        on_progress: Called while an encoder is fine-tuned, and with what an endpoint has cost.

    Raises:
        GatewiseError: If one cannot be used, or has other labels.
        ModuleNotFoundError: If one needs a package that is not installed.
    """
    if config.teacher.url is not None and lesson.multi_label:
        raise TeacherError(
            f"{config.teacher.url}: an endpoint gives each text one label: expected a corpus "
            "with one label a text, received one with any number of labels a text"
        )
    teachers: list[Teacher] = [
        GatewiseModel(path, labels, multi_label=lesson.multi_label)
        if is_gatewise_model(path)
        else open_encoder(path, config, lesson, cache, on_progress)
        for path in config.teacher.folders
    ]
    if config.teacher.url is not None:
        teachers.append(open_endpoint(config, labels, cache, on_progress))
    return teachers


def open_endpoint(
    config: Config, labels: Labels, cache: Path, on_progress: OnProgress
) -> EndpointTeacher:
    """Opens the endpoint of `teacher.url`; see `EndpointTeacher`."""
    settings = config.teacher
    prompt = LabelPrompt(labels.names, settings.descriptions or {}, settings.prompt)
    return EndpointTeacher(_endpoint(config), prompt, settings.votes, cache, on_progress)


def _endpoint(config: Config) -> "ChatEndpoint":
    # Needs httpx, of the extra `teacher`.
    from gatewise.training.teacher.chat_endpoint import ChatEndpoint  # noqa: PLC0415

    return ChatEndpoint(config.teacher.url or "", config.teacher.model)


class Labeller:
    """Gives texts the mean probabilities of some teachers.

    Attributes:
        cards: What the teachers are.
        fingerprints: Digests of the teachers.
        endpoints: Those of the teachers that are asked over the network.
        seconds: Seconds in which texts were read by the teachers, those kept from before left out.
        texts: Those texts.
    """

    def __init__(
        self, teachers: Sequence[Teacher], cache: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Takes the teachers.

        Args:
            teachers: One at least.
            cache: Folder of what they gave for texts, locked while there are new ones.
            clock: Measures how long they take.
        """
        self._teachers, self._clock = teachers, clock
        self.cards = tuple(teacher.card for teacher in teachers)
        self.fingerprints = tuple(teacher.fingerprint for teacher in teachers)
        self.endpoints = [each for each in teachers if isinstance(each, EndpointTeacher)]
        self._caches = [
            teacher if isinstance(teacher, EndpointTeacher) else VectorCache(teacher, cache)
            for teacher in teachers
        ]
        self.seconds, self.texts = 0.0, 0

    @property
    def seconds_per_text(self) -> float | None:
        """How long a text takes; None before the first."""
        return self.seconds / self.texts if self.texts else None

    def count_missing(self, texts: Sequence[str]) -> int:
        """How many of some texts the teachers have not read yet."""
        return max(cache.count_missing(texts) for cache in self._caches)

    def read(self, texts: Sequence[str], on_texts: OnTexts = lambda _: None) -> None:
        """Has every teacher read some texts; `on_texts` counts those of the last one."""
        missing, start = self.count_missing(texts), self._clock()
        for cache in self._caches[:-1]:
            cache.vectors(texts)
        self._caches[-1].vectors(texts, on_texts)
        if missing:
            self.seconds += self._clock() - start
            self.texts += missing

    def learn(self, train: LabelledTexts) -> None:
        """Has every teacher become a classifier that is none yet."""
        for teacher, cache in zip(self._teachers, self._caches, strict=True):
            if isinstance(teacher, FrozenEncoder) and not teacher.has_learned:
                teacher.learn(cache.vectors(train.texts), train.truth)

    def probabilities(
        self, texts: Sequence[str], on_texts: OnTexts = lambda _: None
    ) -> NDArray[np.float64]:
        """The probability of each label for some texts, `(texts, labels)`.

        The mean of the teachers that give a text a label; NaN where none does.
        """
        self.read(texts, on_texts)
        found = np.array(
            [
                teacher.probabilities(cache.vectors(texts))
                for teacher, cache in zip(self._teachers, self._caches, strict=True)
            ]
        )
        counts = np.count_nonzero(~np.isnan(found), axis=0)
        return np.asarray(np.nansum(found, axis=0) / np.where(counts, counts, np.nan))

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32] | None:
        """Vectors of some texts that are near if the texts are similar; None without such."""
        for teacher, cache in zip(self._teachers, self._caches, strict=True):
            if isinstance(teacher, FrozenEncoder):
                return cache.vectors(texts)
        return None

    def similar_words(self, words: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        """Words of similar meaning, by the first teacher that knows any."""
        for teacher in self._teachers:
            if isinstance(teacher, TextEncoder) and (found := teacher.similar_words(words)):
                return found
        return {}

    def seconds_for(self, texts: Sequence[str]) -> float:
        """How long the first teacher takes for some texts, now."""
        start = self._clock()
        self._teachers[0].vectors(texts)
        return self._clock() - start
