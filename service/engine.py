"""The model behind a running service: loaded once, asked from many requests at a time.

Tokenizing and inference run in worker threads, one for each core, so that the event loop stays
free; both release the interpreter's lock. Knows nothing of HTTP.
"""

import asyncio
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.classifier import Classifier
from service.scores import ScoreFunction, apply
from vocab.errors import EmptyTextError, GatewiseError

_log = logging.getLogger(__name__)


class EmptyTextsError(EmptyTextError):
    """Texts without a token among those that were asked about.

    Attributes:
        indices: Which of the texts they are.
    """

    def __init__(self, indices: Sequence[int]) -> None:
        super().__init__(f"no token to classify in the texts {', '.join(map(str, indices))}")
        self.indices = tuple(indices)


@dataclass(frozen=True)
class Scored:
    """What a model says of some texts.

    Attributes:
        scores: The score of every class for every text, float32, shape `(texts, classes)`.
        none: What each text is given instead of a label; None where it is given one.
    """

    scores: NDArray[np.float32]
    none: list[str | None]


class Engine:
    """A classifier, or the promise of one, that answers without holding up the event loop.

    Args:
        classifier: The model; without one the engine is not ready until `load` is done.
    """

    def __init__(self, classifier: Classifier | None = None) -> None:
        self._classifier = classifier
        self._workers = ThreadPoolExecutor(_processors(), thread_name_prefix="gatewise")

    @property
    def is_ready(self) -> bool:
        """Whether there is a model to answer with."""
        return self._classifier is not None

    @property
    def labels(self) -> list[str]:
        """The label of each class."""
        return self._ready_classifier().classes_

    @property
    def thresholds(self) -> tuple[float, ...] | None:
        """The score from which on each label is given; None if a text has exactly one label."""
        return self._ready_classifier().thresholds

    @property
    def classifier(self) -> Classifier:
        """The model."""
        return self._ready_classifier()

    async def load(self, folder: Path, threads: int) -> None:
        """Loads the model in a worker thread.

        A folder that cannot be used is logged and leaves the engine not ready: whoever started
        the load is no longer there to be told.
        """
        loop = asyncio.get_running_loop()
        try:
            self._classifier = await loop.run_in_executor(
                self._workers, lambda: Classifier.load(folder, threads=threads)
            )
        except GatewiseError as error:
            _log.error("the model could not be loaded: %s", error)
        except Exception:
            _log.exception("the model could not be loaded")

    async def scores(
        self, texts: Sequence[str], function_to_apply: ScoreFunction | None = None
    ) -> Scored:
        """The score of every class for every text, and which texts are given no label.

        Raises:
            EmptyTextsError: If texts hold no token.
        """
        classifier = self._ready_classifier()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._workers, _scores, classifier, texts, function_to_apply
        )

    def close(self) -> None:
        """Lets the worker threads go once they are done."""
        self._workers.shutdown(wait=False)

    def _ready_classifier(self) -> Classifier:
        if self._classifier is None:
            raise RuntimeError("the engine was asked before it was ready")
        return self._classifier


def _processors() -> int:
    # Those that this process may use, which in a container are not all there are.
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _scores(
    classifier: Classifier, texts: Sequence[str], function_to_apply: ScoreFunction | None
) -> Scored:
    encoded = classifier.encode(texts)
    if empty := [index for index, text in enumerate(encoded) if text.is_empty]:
        raise EmptyTextsError(empty)
    logits = classifier.logits(encoded)
    own = classifier.score_function
    probabilities = apply(own, logits)
    asked = function_to_apply or own
    scores = probabilities if asked == own else apply(asked, logits)
    # Whether a text is given a label does not depend on the scores that are asked for.
    return Scored(scores, classifier.none_labels(probabilities))
