"""What a teacher is: a model that gives each label a probability for any text."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gatewise.vocab.errors import GatewiseError

DIGEST_BYTES = 16


class TeacherError(GatewiseError):
    """A teacher that cannot be used."""


class TooLongError(TeacherError):
    """Fine-tuning would take longer than it may."""


@dataclass(frozen=True, eq=False)
class LabelledTexts:
    """Texts of the corpus with their true labels.

    Attributes:
        texts: The texts.
        truth: Which labels each has, `(texts, labels)`.
    """

    texts: Sequence[str]
    truth: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Lesson:
    """What an encoder becomes a classifier by.

    Attributes:
        train: The texts that it learns from.
        validation: The texts by which its epoch is chosen, and whether it is fine-tuned.
        multi_label: Whether a text may have several labels.
        seed: The seed of chance.
    """

    train: LabelledTexts
    validation: LabelledTexts
    multi_label: bool
    seed: int


@dataclass(frozen=True)
class TeacherCard:
    """What a teacher is, for reports.

    Attributes:
        name: Its name: the heading of its README, else the name of its folder.
        kind: How it became a classifier.
        bytes: The size of its weights; None if it is unknown.
        license: The licence that its README tells; None if it tells none.
    """

    name: str
    kind: str
    bytes: int | None
    license: str | None


class Teacher(Protocol):
    """A model whose costly result for a text is a vector, which is kept and read again.

    Attributes:
        card: What it is.
        fingerprint: Digest of everything that its vectors depend on.
        width: Numbers of a vector.
    """

    card: TeacherCard
    fingerprint: str
    width: int

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of some texts, `(texts, width)`; this is what takes time."""

    def probabilities(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """The probability of each label for some vectors, `(texts, labels)`.

        NaN for a text to which the teacher gives no label.
        """


def duration(seconds: float) -> str:
    """A time in words.

    >>> duration(40), duration(100), duration(9000)
    ('a minute', '2 minutes', '2.5 hours')
    """
    minutes = seconds / 60
    if minutes < 1.5:
        return "a minute"
    return f"{minutes:.0f} minutes" if minutes < 90 else f"{minutes / 60:.1f} hours"


def text_digest(text: str) -> bytes:
    """The digest by which the results for a text are kept, of `DIGEST_BYTES` bytes."""
    encoded = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(encoded, digest_size=DIGEST_BYTES).digest()


def file_digest(*files: Path) -> str:
    """One digest of the contents of several files."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
