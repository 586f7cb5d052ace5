"""The audit of a corpus: rows whose label is doubtful, copies with other labels, confused labels.

The doubtful rows are found by confident learning (Northcutt, Jiang and Chuang 2021, "Confident
Learning: Estimating Uncertainty in Dataset Labels") on out-of-fold probabilities.
"""

import csv
import os
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatewise.training.config.config import Config, ConfigError
from gatewise.training.config.reject_section import RejectConfig
from gatewise.training.data.corpora import Copy, Corpora, Rows, find_duplicates, read
from gatewise.training.data.duplicates import Duplicates
from gatewise.training.evaluation.error_analysis import Confused, LabelCounts
from gatewise.training.labelling.held_out import held_out_probabilities, whole
from gatewise.training.report.audit_page import AuditContents, audit_page
from gatewise.vocab.atomic_files import replace_folder, translate_write_errors
from gatewise.vocab.corpus import annotation_records
from gatewise.vocab.corpus.annotation_records import SUFFIXES, Annotation, Tool
from gatewise.vocab.corpus.bad_row_policy import BadRows
from gatewise.vocab.corpus.label_values import SEPARATOR
from gatewise.vocab.corpus.records import Location, readable
from gatewise.vocab.errors import CorpusError, OutputError

PAGE, TABLE = "audit.html", "rows.csv"
"""The files of an audit, besides one for an annotation tool."""

_MAX_CONFLICTS = 500
"""Pairs of copies with different labels that are kept, of exact and of near copies."""

_SIMILARITY = 0.8
"""Similarity of near-duplicates where the settings have exact copies only, or none."""


@dataclass(frozen=True)
class AuditedRow:
    """A row of the corpus.

    Attributes:
        file: Its file, or the name of rows in memory.
        line: Its line there; of rows in memory their position, counted from 0.
        text: Its text; of a very long one the part that a model reads.
        labels: Its labels.
        suggested: The labels that classifiers suggest which were fitted without it.
        score: How doubtful its labels are, from 0 to 1: the probability that they are not right.
        is_suspect: Whether it is one of those whose labels are estimated to be wrong.
    """

    file: str
    line: int
    text: str
    labels: tuple[str, ...]
    suggested: tuple[str, ...]
    score: float
    is_suspect: bool

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return str(Location(self.file, self.line))


@dataclass(frozen=True, eq=False)
class Audit:
    """The result of an audit.

    Attributes:
        rows: The rows, the most doubtful first.
        label_names: The labels of the corpus, sorted.
        multi_label: Whether a text may have several of them.
        labels: The held-out predictions of each label.
        confused: The pairs of labels that were confused, the most frequent first.
        duplicates: The texts that occur more than once, in the corpus and in its other parts.
        copies: Examples of them, and the copies with different labels.
        single: Labels with a single row, which cannot be judged.
    """

    rows: tuple[AuditedRow, ...]
    label_names: tuple[str, ...]
    multi_label: bool
    labels: tuple[LabelCounts, ...]
    confused: tuple[Confused, ...]
    duplicates: Duplicates
    copies: tuple[Copy, ...]
    single: tuple[str, ...]

    @property
    def suspects(self) -> tuple[AuditedRow, ...]:
        """The rows whose labels are estimated to be wrong, the most doubtful first."""
        return tuple(row for row in self.rows if row.is_suspect)

    @property
    def conflicts(self) -> tuple[Copy, ...]:
        """Copies and near-duplicates with different labels."""
        return tuple(copy for copy in self.copies if copy.kind in ("conflict", "near-conflict"))

    def page(self) -> str:
        """The audit as one HTML page that opens offline."""
        return audit_page(
            AuditContents(
                len(self.rows),
                self.multi_label,
                self.suspects,
                self.labels,
                self.confused,
                self.duplicates,
                self.conflicts,
                tuple(copy for copy in self.copies if copy.kind in ("exact", "near")),
                self.single,
            )
        )

    def save(self, folder: str | os.PathLike[str], tool: Tool | None = None) -> None:
        """Writes the page, all rows as CSV and, for a tool, the doubtful ones as it imports them.

        Args:
            folder: The folder to write, whole or not at all; an earlier audit there is replaced.
            tool: `label-studio`, `prodigy`, `argilla` or `doccano`; None for none.

        Raises:
            OutputError: The folder cannot be written, or is not one of an audit.
        """
        target = Path(folder)
        check_target(target)
        with (
            translate_write_errors(target),
            tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch,
        ):
            new = Path(scratch) / "new"
            new.mkdir()
            (new / PAGE).write_text(self.page(), encoding="utf-8")
            self._write_table(new / TABLE)
            if tool is not None:
                rows = [
                    Annotation(
                        *(row.text, row.suggested, 1 - row.score, row.labels),
                        *(row.file, row.line),
                    )
                    for row in self.suspects
                ]
                path = new / f"{tool}{SUFFIXES[tool]}"
                annotation_records.write(path, tool, rows, self.label_names)
            replace_folder(target, new, Path(scratch) / "old")

    def _write_table(self, path: Path) -> None:
        # Read again as a corpus, it has the texts and labels of the corpus.
        column = "labels" if self.multi_label else "label"
        names = ("file", "line", "text", column, "suggested", "score", "suspect")
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(names)
            for row in self.rows:
                labels, suggested = map(SEPARATOR.join, (row.labels, row.suggested))
                flag = str(row.is_suspect).lower()
                place = (readable(row.file), row.line)
                writer.writerow((*place, row.text, labels, suggested, f"{row.score:.6f}", flag))


def audit(corpora: Corpora, config: Config, bad_rows: BadRows) -> Audit:
    """Audits the training rows of a corpus; its other parts are searched for copies of them.

    Args:
        corpora: Where the rows are.
        config: The settings that a training run would have.
        bad_rows: What happens to rows that cannot be used.

    Raises:
        GatewiseError: If the rows or the settings cannot be used.
    """
    _cleanlab()  # before minutes of work
    if config.corpus.probability_prefix is not None:
        raise ConfigError("expected labels to audit, received probabilities")
    similarity = config.corpus.similarity if config.corpus.similarity < 1 else _SIMILARITY
    # A label of rows out of scope is audited like any other, and a teacher has no part in it.
    config = config.changed("corpus", duplicates="ignore").without_teacher()
    config = config.model_copy(update={"reject": RejectConfig()})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            rows = read(corpora, config, bad_rows, folder)
        except CorpusError as error:
            if error.option != "validation":
                raise
            # No row can be held out, and a validation corpus would not help.
            raise _too_few_rows(corpora) from None
        if rows.features:
            raise CorpusError(
                f"{corpora.train}: expected texts to audit, received sequences of numbers"
            )
        if rows.task == "regression":
            raise CorpusError(
                f"{corpora.train}: expected labels to audit, received numbers to predict"
            )
        parts = whole(rows).parts()
        counts = Counter(chain.from_iterable(row.labels for row in parts["train"]))
        if max(counts.values(), default=0) < 2:
            raise _too_few_rows(corpora)
        if rows.held_out:
            del parts["validation"]
        duplicates, copies = find_duplicates(parts, similarity, folder, _MAX_CONFLICTS)
        probabilities, prepared = held_out_probabilities(rows, config, bad_rows, folder)
        return _judged(prepared.corpus.rows, probabilities, duplicates, copies)


def _too_few_rows(corpora: Corpora) -> CorpusError:
    return CorpusError(
        f"{corpora.train}: expected a label with two rows or more, received one row of each: a row "
        "is judged by the others of its label: give more rows"
    )


def check_target(folder: Path) -> None:
    """Checks that an audit can be written to a folder: there is none, or it is one of an audit.

    Raises:
        OutputError: It cannot.
    """
    if not folder.absolute().parent.is_dir():
        raise OutputError(f"{folder}: cannot be written: there is no folder {folder.parent}")
    if not folder.exists():
        return
    known = {PAGE, TABLE, *(f"{tool}{suffix}" for tool, suffix in SUFFIXES.items())}
    if not folder.is_dir() or {file.name for file in folder.iterdir()} - known:
        raise OutputError(f"{folder}: it exists and is not the folder of an audit: name another")


def _judged(
    rows: Rows,
    probabilities: NDArray[np.float64],
    duplicates: Duplicates,
    copies: tuple[Copy, ...],
) -> Audit:
    names = np.array(rows.labels.names, dtype=object)
    train = list(rows.train)
    truth = rows.labels.matrix([row.labels for row in train])
    if rows.multi_label:
        given = probabilities >= 0.5
    else:
        given = np.zeros_like(truth)
        given[np.arange(len(train)), probabilities.argmax(axis=1)] = True
    quality, suspect = _label_quality(truth, probabilities, multi_label=rows.multi_label)
    # Without another row of its label, nothing is known of a row.
    single = truth.sum(axis=0) == 1
    unknown = truth[:, single].any(axis=1)
    quality[unknown], suspect[unknown] = 1, False
    audited = [
        AuditedRow(
            *(row.location.file, row.location.line, row.text, row.labels),
            tuple(names[given[number]].tolist()),
            float(1 - quality[number]),
            bool(suspect[number]),
        )
        for number, row in enumerate(train)
    ]
    missed, wrong = truth & ~given, given & ~truth
    counts = zip(
        *(found.sum(axis=0).tolist() for found in (truth & given, missed, wrong)), strict=True
    )
    return Audit(
        rows=tuple(audited[number] for number in np.argsort(quality, kind="stable").tolist()),
        label_names=rows.labels.names,
        multi_label=rows.multi_label,
        labels=tuple(map(LabelCounts, rows.labels.names, *zip(*counts, strict=True))),
        confused=_confused(missed, wrong, rows.labels.names),
        duplicates=duplicates,
        copies=copies,
        single=tuple(names[single].tolist()),
    )


def _label_quality(
    truth: NDArray[np.bool_], probabilities: NDArray[np.float64], *, multi_label: bool
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """How likely the labels of each row are right, and whether they are estimated to be wrong.

    How many are wrong is estimated by confident learning: as many rows are it, the least likely.

    Args:
        truth: Which labels each row has, `(rows, labels)`.
        probabilities: The probability of each, of the same shape.
        multi_label: Whether a text may have several labels.
    """
    cleanlab = _cleanlab()
    if multi_label:
        labels = [np.flatnonzero(row).tolist() for row in truth]
        quality = cleanlab.multilabel_classification.get_label_quality_scores(labels, probabilities)
        wrong = cleanlab.multilabel_classification.filter.find_label_issues(
            labels, probabilities, filter_by="confident_learning", n_jobs=1
        ).sum()
    else:
        ids = truth.argmax(axis=1)
        quality = cleanlab.rank.get_label_quality_scores(ids, probabilities)
        wrong = cleanlab.count.num_label_issues(ids, probabilities)
    suspect = np.zeros(len(truth), dtype=np.bool_)
    suspect[np.argsort(quality, kind="stable")[: int(wrong)]] = True
    return np.array(quality, np.float64), suspect


def _cleanlab() -> Any:
    """The package, which takes seconds to import and may be missing."""
    with warnings.catch_warnings():
        # Of tqdm in a notebook without widgets.
        warnings.simplefilter("ignore")
        import cleanlab  # noqa: PLC0415
    return cleanlab


def _confused(
    missed: NDArray[np.bool_], wrong: NDArray[np.bool_], names: Sequence[str]
) -> tuple[Confused, ...]:
    """How many rows of each label were given each other one, the most frequent pairs first."""
    counts = missed.T.astype(np.int64) @ wrong.astype(np.int64)
    pairs = sorted(zip(*np.nonzero(counts), strict=True), key=lambda pair: -counts[pair])
    return tuple(
        Confused(names[right], names[given], int(counts[right, given])) for right, given in pairs
    )
