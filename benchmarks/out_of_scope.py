"""How well texts are told that have none of the labels: by a threshold alone, or learnt from a few.

Trains on the rows of CLINC150 (Larson et al., 2019) once without and once with its hundred training
rows out of scope; the threshold is chosen on validation rows either time. Prints the two beside
what was published for the same rows.
"""

import csv
import statistics
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from gatewise.service.model.classifier import Classifier
from gatewise.training.config import config
from gatewise.training.data.corpora import Corpora
from gatewise.training.evaluation.rejection import Curve, curve
from gatewise.training.fit.progress import Finding, Progress
from gatewise.training.pipeline import train
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import read_rows
from numpy.typing import NDArray

LABEL = "oos"
PUBLISHED = (
    # In-scope accuracy and out-of-scope recall: https://aclanthology.org/D19-1131, "Full".
    ("fastText", 89.0, 9.7),
    ("CNN", 91.2, 18.9),
    ("MLP on sentence vectors (USE)", 93.5, 47.4),
    ("BERT, a label for out of scope", 96.9, 40.3),
    ("BERT, by threshold", 96.2, 52.3),
)
IN_SCOPE = 0.93
"""Share of the validation rows in scope that the third threshold keeps right, if it can."""

THRESHOLDS = ("its own threshold", "the paper's", f"{IN_SCOPE:.0%} right in scope")
BY_THRESHOLD, LEARNT = "by threshold alone", "out-of-scope rows learnt from"


def joined(out: Path, parts: Iterable[Path]) -> Path:
    """One corpus with the rows of several."""
    with out.open("w", encoding="utf-8", newline="") as target:
        writer = csv.writer(target)
        writer.writerow(["text", "label"])
        for part in parts:
            with part.open(encoding="utf-8", newline="") as source:
                writer.writerows((row["text"], row["label"]) for row in csv.DictReader(source))
    return out


def corpora(data: Path, scratch: Path) -> dict[str, Corpora]:
    """The corpora of either way: they differ in what is learnt from alone."""
    scratch.mkdir(exist_ok=True)
    whole = {
        part: joined(scratch / f"{part}.csv", (data / f"{part}.csv", data / f"{LABEL}_{part}.csv"))
        for part in ("train", "valid", "test")
    }
    return {
        BY_THRESHOLD: Corpora(data / "train.csv", whole["valid"], whole["test"]),
        LEARNT: Corpora(whole["train"], whole["valid"], whole["test"]),
    }


@dataclass(frozen=True)
class Figures:
    """In-scope accuracy and out-of-scope recall on the test rows, as shares."""

    accuracy: float
    recall: float


@dataclass(frozen=True)
class Best:
    """The best label of some rows: its probability, whether it is right, and who is in scope."""

    probabilities: NDArray[np.float32]
    right: NDArray[np.bool_]
    inside: NDArray[np.bool_]

    @classmethod
    def of(cls, classifier: Classifier, corpus: Path) -> "Best":
        """What a model says of a corpus."""
        rows = list(read_rows(corpus, bad_rows=StopAtBadRows()))
        probabilities = classifier.predict_proba([row.text for row in rows])
        given = [classifier.classes_[best] for best in probabilities.argmax(axis=1)]
        labels = [row.label for row in rows]
        right = np.array([one == other for one, other in zip(given, labels, strict=True)])
        inside = np.array([label != LABEL for label in labels])
        return cls(probabilities.max(axis=1), right, inside)

    def curve(self) -> Curve:
        """What every threshold does to them."""
        inside = self.inside
        return curve(self.probabilities[inside], self.right[inside], self.probabilities[~inside])

    def figures(self, threshold: float) -> Figures:
        """What one threshold does to them."""
        answered, inside = self.probabilities >= np.float32(threshold), self.inside
        accuracy = (answered & self.right)[inside].mean()
        return Figures(float(accuracy), float((~answered)[~inside].mean()))


def by_validation(classifier: Classifier, rows: Corpora) -> tuple[Figures, Figures]:
    """The figures with two thresholds that a user may want, both chosen on validation rows.

    The first is that of the paper, with which most rows are right, rows out of scope being right
    where they are given no label. The second is the highest that leaves `IN_SCOPE` of the rows in
    scope right; the lowest there is, if none does.
    """
    if rows.validation is None or rows.test is None:
        raise ValueError("validation and test rows are needed")
    validation = Best.of(classifier, rows.validation)
    found, inside = validation.curve(), validation.inside
    if found.out_of_scope_recall is None:
        raise ValueError("validation rows out of scope are needed")
    in_scope = found.answered * found.accuracy_answered
    right = in_scope * np.count_nonzero(inside)
    right += found.out_of_scope_recall * np.count_nonzero(~inside)
    places = (int(right.argmax()), int(np.flatnonzero(in_scope >= IN_SCOPE).max(initial=0)))
    test = Best.of(classifier, rows.test)
    first, second = (test.figures(found.at(place).threshold) for place in places)
    return first, second


def measured(rows: Corpora, out: Path, settings: Sequence[str]) -> tuple[Figures, ...]:
    """One model: its figures with each of `THRESHOLDS`."""

    def told(progress: Progress | Finding) -> None:
        if isinstance(progress, Progress) and progress.epoch:
            typer.echo(f"{out.name}: epoch {progress.epoch.number}", err=True)

    wanted = config.load(assignments=[f"reject.out_of_scope={LABEL}", *settings])
    run = train(rows, out, wanted, StopAtBadRows(), told)
    if run.test is None or run.test.out_of_scope_recall is None:
        raise ValueError("test rows in and out of scope are needed")
    own = Figures(run.test.accuracy, run.test.out_of_scope_recall)
    return own, *by_validation(Classifier.load(out), rows)


def table(figures: dict[str, list[tuple[Figures, ...]]]) -> str:
    """The medians, in percent, beside the published figures, as Markdown."""
    lines = ["| model | in-scope accuracy | out-of-scope recall |", "|---|--:|--:|"]
    for name, accuracy, recall in PUBLISHED:
        lines.append(f"| {name} | {accuracy:.1f} | {recall:.1f} |")
    for name, runs in figures.items():
        for threshold, found in zip(THRESHOLDS, zip(*runs, strict=True), strict=True):
            median_accuracy = 100 * statistics.median(each.accuracy for each in found)
            median_recall = 100 * statistics.median(each.recall for each in found)
            lines.append(
                f"| Gatewise, {name}; {threshold} | {median_accuracy:.1f} | {median_recall:.1f} |"
            )
    return "\n".join(lines)


def main(
    data: Annotated[
        Path,
        typer.Argument(
            help="Folder with train.csv, valid.csv and test.csv, and oos_train.csv and so on."
        ),
    ],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A further setting, such as training.epochs=6")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Models of each kind.")] = 1,
) -> None:
    """Prints in-scope accuracy and out-of-scope recall on the test rows."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        figures = {
            name: [
                measured(
                    rows,
                    folder / f"{name.replace(' ', '-')}-{seed}",
                    [*(set_ or ()), f"training.seed={seed}"],
                )
                for seed in range(1, seeds + 1)
            ]
            for name, rows in corpora(data, folder / "corpora").items()
        }
    typer.echo(table(figures))


if __name__ == "__main__":
    typer.run(main)
