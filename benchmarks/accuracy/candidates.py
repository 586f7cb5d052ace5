"""The candidates: Gatewise, linear models, fastText, and a pretrained encoder.

Each learns from the training rows of a draw and is asked for the test rows once, at the end.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sklearn.model_selection import train_test_split

from benchmarks.accuracy import encoders, linear, students
from benchmarks.accuracy.draws import Draw
from benchmarks.accuracy.points import Outcome
from benchmarks.lib.fasttext_format import fasttext_accuracy, fasttext_file, fasttext_ids

GATEWISE = "gatewise"
"""Its name; with other settings, what the name begins with."""

CONTROL = f"{GATEWISE}-control"
"""Gatewise with the copies that a teacher would label, each with the labels of its row."""

NOT_ENGLISH = ("langid", "surnames", "thucnews", "nsmc")

FASTTEXT_SECONDS = 60
"""How long fastText's autotune searches, by the clock."""

_FASTTEXT_TUNED = ("lr", "dim", "epoch", "wordNgrams", "minn", "maxn", "bucket")


@dataclass(frozen=True)
class Candidate:
    """What is compared.

    Attributes:
        title: Its name in tables and pictures.
        measure: Trains on a draw and scores its test rows.
        english: Whether it knows English alone.
        multi_label: Whether it is measured where a text may have several labels.
        max_rows: Training rows above which it is not measured.
    """

    title: str
    measure: Callable[[Draw], Outcome]
    english: bool = False
    multi_label: bool = True
    max_rows: float = float("inf")

    def fits(self, draw: Draw) -> bool:
        """Whether it is measured on a draw."""
        return (
            (self.multi_label or not draw.multi_label)
            and not (self.english and draw.corpus in NOT_ENGLISH)
            and len(draw.train.texts) <= self.max_rows
        )


def candidates(name: str, settings: Sequence[str], cache: Path) -> dict[str, Candidate]:
    """Every candidate by its name.

    Args:
        name: The name of Gatewise with the settings.
        settings: Settings of Gatewise, `section.key=value`.
        cache: Folder for what encoders make.
    """
    student = students.control if name == CONTROL else students.gatewise
    return {
        name: Candidate(
            name.replace(GATEWISE, "Gatewise", 1),
            lambda draw: student(
                draw, settings, cache / f"{name}-{draw.corpus}-{draw.size}-{draw.number}"
            ),
        ),
        "svc": Candidate("TF-IDF + LinearSVC", linear.svc),
        "lr": Candidate("TF-IDF + logistic regression", linear.logistic_regression),
        "fasttext": Candidate("fastText, autotuned", _fasttext, multi_label=False),
        "model2vec": Candidate(
            "model2vec + logistic regression",
            lambda draw: encoders.model2vec(draw, cache),
            english=True,
        ),
        "minilm": Candidate(
            "MiniLM + logistic regression", lambda draw: encoders.minilm(draw, cache), english=True
        ),
        "setfit": Candidate(
            "SetFit", encoders.setfit, english=True, multi_label=False, max_rows=3_000
        ),
    }


def _fasttext(draw: Draw) -> Outcome:
    """Lets fastText's autotune search on held-out rows, and trains on all rows with its choice."""
    import fasttext  # noqa: PLC0415 — of an extra, for this candidate alone

    kept, held = draw.train, draw.validation
    if held is None:
        kept, held = (
            draw.train.only(rows)
            for rows in train_test_split(
                range(len(draw.train.texts)),
                test_size=0.2,
                random_state=draw.number,
                stratify=draw.train.labels,
            )
        )
    ids = fasttext_ids(draw.train)
    options: dict[str, Any] = {"thread": 1, "seed": draw.number, "verbose": 0}
    with TemporaryDirectory() as scratch:
        train, rest, validation = (
            str(fasttext_file(Path(scratch) / f"{name}.txt", rows, ids))
            for name, rows in (("train", draw.train), ("rest", kept), ("validation", held))
        )
        search = fasttext.train_supervised(
            rest,
            autotuneValidationFile=validation,
            autotuneDuration=FASTTEXT_SECONDS,
            **options,
        )
        tuned = {name: getattr(search, name) for name in _FASTTEXT_TUNED}
        del search  # it may have gigabytes
        model = fasttext.train_supervised(train, **tuned, **options)
    chosen = ", ".join(f"{name}={value:g}" for name, value in tuned.items())
    return Outcome(fasttext_accuracy(model, draw.test, ids), chosen=chosen)
