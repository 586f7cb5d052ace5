"""What is done with jobs at a time: their texts tokenized together, and run together.

Knows neither queue nor threads.
"""

import time
from collections.abc import Sequence

import numpy as np
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.scores import apply
from gatewise.service.serving.batching_jobs import BatchStats, EmptyTextsError, Job, Scored
from gatewise.vocab.tokenizer.tokenizer import UNKNOWN_ID

Answered = tuple[Job, Scored | Exception]
"""A job, and what has come of it."""

Row = tuple[Job, int, int]
"""A job, and from which of its texts to which it is run."""


def encode(classifier: Classifier, jobs: Sequence[Job]) -> tuple[list[Job], list[Answered]]:
    """Tokenizes the texts of jobs.

    Returns:
        The jobs that can be run, and those that cannot, for a text without a token.
    """
    encoded = classifier.encode([text for job in jobs for text in job.texts])
    ready: list[Job] = []
    refused: list[Answered] = []
    start = 0
    for job in jobs:
        job.encoded = encoded[start : start + len(job.texts)]
        start += len(job.texts)
        if empty := [index for index, text in enumerate(job.encoded) if text.is_empty]:
            refused.append((job, EmptyTextsError(empty)))
        else:
            ready.append(job)
    return ready, refused


def compute(classifier: Classifier, rows: Sequence[Row]) -> tuple[list[Answered], BatchStats]:
    """Runs texts of jobs at a time.

    Returns:
        The answers of those jobs that have no other text left, and what was done.
    """
    now = time.monotonic()
    texts = [text for job, start, end in rows for text in job.encoded[start:end]]
    logits, padding = classifier.padded_logits(texts)
    own = apply(classifier.score_function, logits)
    none = classifier.none_labels(own)
    finished: list[Answered] = []
    at = 0
    for job, start, end in rows:
        part = slice(at, at + end - start)
        at = part.stop
        scores = own[part] if job.function is None else apply(job.function, logits[part])
        cut = sum(text.truncated for text in job.encoded[start:end])
        job.parts[start] = Scored(scores, none[part], cut)
        # Another thread may have the rest of a long job: the last to come puts it together.
        if whole := job.whole():
            finished.append((job, whole))
    ids = np.concatenate([text.ids for text in texts])
    return finished, BatchStats(
        texts=texts,
        padding=padding,
        best=own.max(axis=1),
        none=len(none) - none.count(None),
        unknown=int(np.count_nonzero(ids == UNKNOWN_ID)),
        waited=[now - job.asked for job, start, _ in rows if not start],
    )
