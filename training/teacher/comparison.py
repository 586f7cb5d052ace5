"""Teacher, student and untaught student side by side on the same rows.

The student is the network that learned from the teacher's labels; the untaught student is the same
network as it is trained without a teacher.
"""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain, islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from gatewise.service.model.classifier import Classifier
from gatewise.training.data.encoded_corpus import EncodedCorpus, EncodedSplit
from gatewise.training.evaluation import thresholds
from gatewise.training.evaluation.evaluate import Report, predicted
from gatewise.training.teacher.labeller import Labeller
from gatewise.training.teacher.targets import chosen
from gatewise.vocab.corpus.labels import Labels

_TIMED_TEXTS, _RUNS = 64, 3

Part = Literal["validation", "test"]


@dataclass(frozen=True)
class Scores:
    """Metrics on the rows of one part, as in `gatewise.training.evaluation.evaluate.Report`."""

    accuracy: float
    macro_f1: float
    micro_f1: float | None

    @classmethod
    def of(cls, report: Report) -> "Scores":
        """The same metrics of a report."""
        return cls(report.accuracy, report.macro_f1, report.micro_f1)


@dataclass(frozen=True)
class ComparedModel:
    """One of the models that are compared.

    Attributes:
        bytes: The size of its weights in 32-bit floats, or as a teacher has them; None if it is
            unknown.
        validation: Its metrics on the validation rows.
        test: Its metrics on the test rows; None without such rows.
    """

    bytes: int | None
    validation: Scores
    test: Scores | None

    def scores(self, part: Part) -> Scores:
        """The metrics on a part that it was measured on."""
        return self.test if part == "test" and self.test else self.validation


@dataclass(frozen=True)
class Differences:
    """How many rows the teacher and the student get right; in a multi-label task exactly right."""

    both: int
    teacher_only: int
    student_only: int
    neither: int


@dataclass(frozen=True)
class TeacherSpeed:
    """How fast a teacher is on this machine.

    Attributes:
        latency_ms: Median time of one text, in milliseconds.
        texts_per_second: Texts labelled in a second, many at once.
    """

    latency_ms: float
    texts_per_second: float


@dataclass(frozen=True)
class Comparison:
    """Teacher, student and untaught student.

    Attributes:
        part: Which rows the differences are on: the test rows if there are any.
        teacher: The teacher; several as one.
        student: The network of the run.
        untaught: The same network without a teacher; None if it was not trained.
        differences: The rows that one of teacher and student gets right.
        speed: How fast the teacher is; None for an endpoint, where every request is paid for.
    """

    part: Part
    teacher: ComparedModel
    student: ComparedModel
    untaught: ComparedModel | None
    differences: Differences
    speed: TeacherSpeed | None

    def models(self) -> dict[str, ComparedModel]:
        """The models by name."""
        found = {"teacher": self.teacher, "student": self.student}
        return {**found, "untaught": self.untaught} if self.untaught else found

    @property
    def warning(self) -> str | None:
        """That the teacher did not help, if the validation rows say so."""
        if self.untaught is None:
            return None
        taught, untaught = (model.validation.accuracy for model in (self.student, self.untaught))
        if taught >= untaught:
            return None
        return (
            f"the network is better without the teacher: {untaught:.4f} of the validation rows "
            f"right, with it {taught:.4f}"
        )

    def as_dict(self) -> dict[str, object]:
        """The comparison as a JSON object, without the speed, which differs from run to run."""
        return {
            **{name: asdict(model) for name, model in self.models().items()},
            "part": self.part,
            "right": asdict(self.differences),
        }


def compare(
    labeller: Labeller,
    corpus: EncodedCorpus,
    student: ComparedModel,
    untaught: ComparedModel | None,
    classifier: Classifier,
) -> Comparison:
    """Compares the teachers with the network that they taught.

    Args:
        labeller: The teachers.
        corpus: The validation and test rows, which the teachers have read before.
        student: The metrics of the network.
        untaught: Those of the network without a teacher; None if it was not trained.
        classifier: The network, as it classifies the rows of the report.
    """
    labels, limits = corpus.rows.labels, None
    if corpus.rows.multi_label:
        limits = thresholds.choose(*_labelled(labeller, corpus.validation, labels))
    validation, right = _measured(labeller, corpus.validation, labels, limits)
    test = None
    if corpus.test:
        test, right = _measured(labeller, corpus.test, labels, limits)
    rows = corpus.test or corpus.validation
    own = _right_of(classifier, rows, labels)
    return Comparison(
        part="test" if corpus.test else "validation",
        teacher=ComparedModel(
            sum(card.bytes or 0 for card in labeller.cards) or None, validation, test
        ),
        student=student,
        untaught=untaught,
        differences=Differences(
            both=int(np.count_nonzero(right & own)),
            teacher_only=int(np.count_nonzero(right & ~own)),
            student_only=int(np.count_nonzero(~right & own)),
            neither=int(np.count_nonzero(~right & ~own)),
        ),
        speed=None if labeller.endpoints else _speed(labeller, rows),
    )


def _labelled(
    labeller: Labeller, split: EncodedSplit, labels: Labels
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The teachers' probabilities for the rows in scope, and which labels these have."""
    rows = split.rows.only(split.in_scope)
    found = np.concatenate([labeller.probabilities(texts) for texts in rows.texts()])
    return found, labels.matrix([row.labels for row in rows])


def _measured(
    labeller: Labeller, split: EncodedSplit, labels: Labels, limits: Sequence[float] | None
) -> tuple[Scores, NDArray[np.bool_]]:
    """The teachers' metrics on the rows in scope, and which of these rows they get right."""
    probabilities, truth = _labelled(labeller, split, labels)
    found = chosen(probabilities, limits)
    right = (found == truth).all(axis=1)
    # Of one label a text, the labels that the rows have; of several, all.
    counted = np.flatnonzero(truth.any(axis=0) | (limits is not None))
    macro, micro = (
        float(f1_score(truth, found, labels=counted, average=average, zero_division=0))
        for average in ("macro", "micro")
    )
    return Scores(float(right.mean()), macro, None if limits is None else micro), right


def _right_of(classifier: Classifier, split: EncodedSplit, labels: Labels) -> NDArray[np.bool_]:
    """Which rows in scope the network gets right; a text that it rejects it gets wrong."""
    minimum = classifier.reject.threshold if classifier.reject else None
    encoded = list(split.only(split.in_scope))
    logits = classifier.logits([row.encoded for row in encoded])
    found = predicted(logits, classifier.thresholds, minimum)
    truth = labels.matrix([row.row.labels for row in encoded])
    return np.asarray((found == truth).all(axis=1))


def _speed(labeller: Labeller, split: EncodedSplit) -> TeacherSpeed:
    texts = list(islice(chain.from_iterable(split.rows.texts()), _TIMED_TEXTS))
    usual = sorted(texts, key=lambda text: (len(text), text))[len(texts) // 2]
    one = statistics.median(labeller.seconds_for([usual]) for _ in range(_RUNS))
    return TeacherSpeed(1000 * one, len(texts) / max(labeller.seconds_for(texts), 1e-9))
