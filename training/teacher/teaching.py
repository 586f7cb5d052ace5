"""Teaching: the training rows, changed copies of them and unlabelled texts, labelled by teachers.

The teachers read the rows of the corpus first, so that a frozen encoder becomes a classifier of
them; then the unlabelled texts; then a copy of each row after another, as long as there is time.
Validation and test rows are read to compare the teachers with the network; no copy is made of them,
and no copy or unlabelled text is one of them.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatewise.training.config.config import Config, ConfigError
from gatewise.training.data.auto_settings import check_linear_path, with_unit
from gatewise.training.data.corpora import Rows
from gatewise.training.data.encoded_corpus import update_digest
from gatewise.training.data.stored_rows import StoredRows, store
from gatewise.training.fit.progress import LABELLING, Finding, OnProgress, Progress
from gatewise.training.teacher.changed_rows import KnownTexts, RowChanger, sample
from gatewise.training.teacher.labeller import Labeller, open_teachers
from gatewise.training.teacher.targets import mix, soften
from gatewise.training.teacher.teacher import (
    LabelledTexts,
    Lesson,
    TeacherCard,
    TeacherError,
    duration,
    file_digest,
)
from gatewise.training.teacher.unlabelled_texts import (
    Likeness,
    UnlabelledCounts,
    read_texts,
    spelling_vectors,
)
from gatewise.training.teacher.vector_cache import locked
from gatewise.vocab.atomic_files import atomic_write
from gatewise.vocab.corpus.bad_row_policy import BadRows
from gatewise.vocab.corpus.corpus_reader import Row
from gatewise.vocab.corpus.records import Location

_LIMITS_FILE = "limits.json"
"""What earlier runs had time for, in the folder of the caches."""

_MAX_LEARNT = 50_000
"""Rows of a part that a teacher becomes a classifier by."""


@dataclass(frozen=True)
class TeachingCounts:
    """What the network learns from.

    Attributes:
        teachers: What the teachers are.
        rows: Rows of the corpus.
        copies: Changed copies of each row, at most.
        copied: Changed copies in all, those left out that another text equals.
        unlabelled: What became of the unlabelled texts; None if there are none.
    """

    teachers: tuple[TeacherCard, ...]
    rows: int
    copies: int
    copied: int
    unlabelled: UnlabelledCounts | None

    @property
    def texts(self) -> int:
        """Texts that the network learns from."""
        return self.rows + self.copied + (self.unlabelled.used if self.unlabelled else 0)

    def as_dict(self) -> dict[str, object]:
        """The counts as a JSON object."""
        return {
            "teachers": [card.as_dict() for card in self.teachers],
            "copies": self.copies,
            "copied_texts": self.copied,
            "unlabelled": self.unlabelled.as_dict() if self.unlabelled else None,
            "texts": self.texts,
        }


@dataclass(frozen=True, eq=False)
class Taught:
    """The rows of a run as teachers labelled them.

    Attributes:
        rows: The training rows with targets, and copies and unlabelled texts among them; the
            validation and test rows as they were.
        config: The run's settings, `tokens.unit` chosen for these rows.
        labeller: The teachers.
        counts: What the training rows are.
    """

    rows: Rows
    config: Config
    labeller: Labeller
    counts: TeachingCounts


def check_settings(config: Config) -> None:
    """Refuses settings that exclude a teacher, and texts for a teacher without one.

    Raises:
        ConfigError: If there is such a setting.
    """
    if not config.teacher.is_wanted:
        if config.teacher.unlabelled:
            raise ConfigError(
                "teacher.unlabelled: expected teacher.folders too, or teacher.url, because nothing "
                "else labels these texts"
            )
        return
    excluded = {
        "corpus.probability_prefix": (
            config.corpus.probability_prefix is not None,
            "the corpus is labelled by another teacher already",
        ),
        "corpus.weight_column": (
            config.corpus.weight_column is not None,
            "copies and other texts that it labels have no weights",
        ),
        "training.refit=true": (
            config.training.refit is True,
            "the teacher's network is not trained on the rows held out",
        ),
        "reject.out_of_scope with teacher.unlabelled": (
            config.reject.out_of_scope is not None and bool(config.teacher.unlabelled),
            "a teacher gives every text a label",
        ),
    }
    for setting, (is_set, reason) in excluded.items():
        if is_set:
            raise ConfigError(f"teacher: not with {setting}: {reason}: leave one out")


def teach(
    rows: Rows,
    config: Config,
    bad_rows: BadRows,
    file: Path,
    cache_folder: Path,
    on_progress: OnProgress,
) -> Taught:
    """Has the teachers of a run label its rows, copies of them, and unlabelled texts.

    Args:
        rows: The rows.
        config: The run's settings.
        bad_rows: What happens to an unlabelled text that cannot be used.
        file: File in which the labelled rows are stored for the run.
        cache_folder: Folder in which the teachers' results are kept beyond the run.
        on_progress: Called as texts are labelled, and for each finding.

    Raises:
        GatewiseError: If the settings exclude each other, or a teacher cannot be used, or has no
            time for the rows themselves.
    """
    check_linear_path(config, rows)
    train, validation = (_labelled(part, rows) for part in (rows.train, rows.validation))
    lesson = Lesson(train, validation, rows.multi_label, config.training.seed)
    with locked(cache_folder):
        begun = time.monotonic()
        teachers = open_teachers(config, rows.labels, lesson, cache_folder, on_progress)
        spent = time.monotonic() - begun
        labeller = Labeller(teachers, cache_folder)
        teaching = _Teaching(rows, config, labeller, cache_folder, on_progress, spent)
        teaching.read_corpus(train)
        stored = store(
            teaching.rows(read_texts(config, bad_rows)),
            file,
            config.tokens.text_limit(),
        )
        # Those of the rows were cut already: their lengths are those from before that.
        lengths = np.concatenate([rows.train.characters, stored.lengths[len(rows.train) :]])
        stored = replace(stored, lengths=lengths)
        teaching.keep_limits()
        for endpoint in labeller.endpoints:
            endpoint.report_use()
    counts = teaching.counts()
    on_progress(Finding(_summary(counts)))
    taught = replace(rows, train=stored)
    config = with_unit(config, taught, has_neighbours=teaching.has_neighbours)
    return Taught(taught, config, labeller, counts)


class _Teaching:
    """The labelling of one run; see `teach`."""

    def __init__(
        self,
        rows: Rows,
        config: Config,
        labeller: Labeller,
        cache_folder: Path,
        on_progress: OnProgress,
        spent: float,
    ) -> None:
        self._rows, self._config, self._labeller = rows, config, labeller
        self._on_progress = on_progress
        minutes = config.teacher.minutes
        self._seconds = None if minutes is None else 60 * minutes - spent
        self._limits = _Limits(cache_folder, _identity(rows, config, labeller))
        self._copies = self._copied = 0
        self.has_neighbours = False
        self._unlabelled: UnlabelledCounts | None = None
        # Every text that the network learns from or is measured on.
        self._known = KnownTexts()

    def read_corpus(self, train: LabelledTexts) -> None:
        """Has the teachers read all rows, and become classifiers by the training rows."""
        names = ", ".join(
            card.name if card.bytes is None else f"{card.name} ({card.bytes / 1e6:,.0f} MB)"
            for card in self._labeller.cards
        )
        parts = list(self._rows.parts().values())
        total = sum(map(len, parts))
        self._report(f"teacher {names}: reads the {total:,} texts of the corpus")
        for endpoint in self._labeller.endpoints:
            endpoint.report_cost(chain.from_iterable(_chunks(parts)))
        stage = _Stage("reading the corpus", total, self._on_progress)
        # Those that the teachers read for an earlier run take no time.
        missing = [self._labeller.count_missing(texts) for texts in _chunks(parts)]
        unread = sum(missing)
        for texts, new in zip(_chunks(parts), missing, strict=True):
            self._known.add(texts)
            self._labeller.read(texts, stage.add)
            unread -= new
            self._check_time(unread)
        self._labeller.learn(train)

    def rows(self, unlabelled: Iterator[str]) -> Iterator[Row]:
        """The rows that the network learns from."""
        rows = self._rows.train
        yield from self._own_rows()
        if self._config.teacher.unlabelled:
            yield from self._unlabelled_rows(unlabelled)
        copies = self._limits.copies
        if copies is None:
            copies = self._config.teacher.copies_of(len(rows))
        if not copies:
            return
        self._tell_time(f"{copies} changed copies of each text", copies * len(rows))
        stage = _Stage("labelling copies", copies * len(rows), self._on_progress)
        changer = RowChanger(
            self._rows, self._config.training.seed, self._known, self._labeller.similar_words
        )
        self.has_neighbours = changer.has_neighbours
        while self._copies < copies and self._has_time_for(len(rows)):
            yield from self._copy_rows(changer, self._copies, stage)
            self._copies += 1
        if self._copies < copies:
            self._report(
                f"teacher.minutes={self._config.teacher.minutes:g}: time for {self._copies} of "
                f"{copies} copies of each text"
            )

    def counts(self) -> TeachingCounts:
        return TeachingCounts(
            teachers=self._labeller.cards,
            rows=len(self._rows.train),
            copies=self._copies,
            copied=self._copied,
            unlabelled=self._unlabelled,
        )

    def keep_limits(self) -> None:
        if self._seconds is not None:
            read = self._unlabelled.read if self._unlabelled else 0
            self._limits.keep(self._copies, read)

    def _own_rows(self) -> Iterator[Row]:
        for window in self._rows.train.windows():
            targets = self._targets(window)
            truth = self._rows.labels.matrix([row.labels for row in window])
            mixed = mix(targets, truth, self._config.teacher.hard_share)
            mixed = np.where(np.isnan(mixed), truth, mixed)
            for row, target in zip(window, mixed, strict=True):
                yield (
                    replace(row, probabilities=tuple(target.tolist()))
                    if self._rows.in_scope(row)
                    else row
                )

    def _unlabelled_rows(self, unlabelled: Iterator[str]) -> Iterator[Row]:
        limit, used, known, unlike, without, read = self._limits.unlabelled, 0, 0, 0, 0, 0
        stage = _Stage("labelling unlabelled texts", 0, self._on_progress)
        is_like = self._likeness()
        file = str(self._config.teacher.unlabelled[0])
        stream = unlabelled if limit is None else islice(unlabelled, limit)
        while (window := list(islice(stream, 512))) and (
            limit is not None or self._has_time_for(len(window))
        ):
            new = [text for text in window if self._known.is_new(text)]
            self._labeller.read(new)
            like = is_like(new) if new else np.zeros(0, dtype=np.bool_)
            kept = [text for text, is_kept in zip(new, like, strict=True) if is_kept]
            labelled = self._labelled(
                [Row(text, (), Location(file, read + n)) for n, text in enumerate(kept)]
            )
            yield from labelled
            read, known = read + len(window), known + len(window) - len(new)
            used, unlike = used + len(labelled), unlike + len(new) - len(kept)
            without += len(kept) - len(labelled)
            stage.add(len(window))
        self._unlabelled = UnlabelledCounts(read, known, unlike, without, used)
        self._report(str(self._unlabelled))

    def _copy_rows(self, changer: RowChanger, number: int, stage: "_Stage") -> Iterator[Row]:
        """A changed copy of each row."""
        for copies, left_out in changer.copies(number):
            outside = [row for row in copies if not self._rows.in_scope(row)]
            yield from outside
            inside = [row for row in copies if self._rows.in_scope(row)]
            stage.add(left_out + len(outside))
            labelled = self._labelled(inside, stage)
            yield from labelled
            self._copied += len(outside) + len(labelled)

    def _labelled(self, rows: Sequence[Row], stage: "_Stage | None" = None) -> list[Row]:
        """Rows with the teachers' probabilities, and the labels that these tell.

        A text that no teacher gives a label is left out.
        """
        if not rows:
            return []
        names = self._rows.labels.names
        targets = self._targets(rows, stage)
        best = targets >= 0.5
        if not self._rows.multi_label:
            best = targets.argmax(axis=1)[:, None] == np.arange(len(names))
        return [
            replace(
                row,
                labels=tuple(names[label] for label in np.flatnonzero(has)),
                probabilities=tuple(target.tolist()),
            )
            for row, target, has in zip(rows, targets, best, strict=True)
            if not np.isnan(target[0])
        ]

    def _targets(self, rows: Sequence[Row], stage: "_Stage | None" = None) -> NDArray[np.float64]:
        texts = [row.text for row in rows]
        found = self._labeller.probabilities(texts, stage.add if stage else lambda _: None)
        return soften(found, self._config.teacher.temperature, multi_label=self._rows.multi_label)

    def _likeness(self) -> Callable[[Sequence[str]], NDArray[np.bool_]]:
        """A function of texts, which tells which of them are like those of the corpus."""
        train, validation = sample(self._rows.train), sample(self._rows.validation)
        vectors: Callable[[Sequence[str]], Any] = self._labeller.vectors
        if vectors(train) is None:
            vectors = spelling_vectors(train)
        likeness = Likeness(vectors(train), vectors(validation))
        return lambda texts: likeness.is_like(vectors(texts))

    def _has_time_for(self, texts: int) -> bool:
        if self._seconds is None or self._limits.copies is not None:
            return True
        needed = texts * (self._labeller.seconds_per_text or 0.0)
        return self._labeller.seconds + needed <= self._seconds

    def _check_time(self, texts: int) -> None:
        """Refuses to begin with what cannot be ended in time."""
        if texts and not self._has_time_for(texts):
            needed = texts * (self._labeller.seconds_per_text or 0.0) + self._labeller.seconds
            raise TeacherError(
                f"teacher.minutes={self._config.teacher.minutes:g}: expected time for the texts of "
                f"the corpus, which take about {duration(needed)}: allow more"
            )

    def _tell_time(self, what: str, texts: int) -> None:
        speed = self._labeller.seconds_per_text
        about = f", about {duration(texts * speed)} at most" if speed else ""
        self._report(f"teacher labels {what}: {texts:,} texts{about}")

    def _report(self, message: str) -> None:
        self._on_progress(Finding(message))


class _Stage:
    """Reports how far a stage has come."""

    def __init__(self, name: str, texts: int, on_progress: OnProgress) -> None:
        self._name, self._texts, self._on_progress = name, texts, on_progress
        self.done = 0

    def add(self, texts: int) -> None:
        """Counts texts as done."""
        self.done += texts
        steps = max(self._texts, self.done)
        self._on_progress(Progress(self.done, steps, stage=LABELLING + self._name))


class _Limits:
    """What an earlier run of the same rows and settings had time for: a later one does the same.

    Attributes:
        copies: Copies of each text; None without an earlier run.
        unlabelled: Unlabelled texts read; None likewise.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._file, self._identity = folder / _LIMITS_FILE, identity
        self._kept = self._read()
        found = self._kept.get(identity, {})
        self.copies: int | None = found.get("copies")
        self.unlabelled: int | None = found.get("unlabelled")

    def keep(self, copies: int, unlabelled: int) -> None:
        """Keeps what this run had time for."""
        found = {"copies": copies, "unlabelled": unlabelled}
        document = {**self._kept, self._identity: found}
        with atomic_write(self._file) as temporary:
            temporary.write_text(json.dumps(document), encoding="utf-8")

    def _read(self) -> dict[str, Any]:
        try:
            document = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}


def _labelled(part: StoredRows, rows: Rows) -> LabelledTexts:
    """The rows of a part that are in scope, evenly spaced if there are very many."""
    step = -(-len(part) // _MAX_LEARNT)
    chosen = [row for row in part.only(np.arange(len(part)) % step == 0) if rows.in_scope(row)]
    truth = rows.labels.matrix([row.labels for row in chosen])
    return LabelledTexts([row.text for row in chosen], truth)


def _identity(rows: Rows, config: Config, labeller: Labeller) -> str:
    """Digest of what the labelled texts depend on, but for the time."""
    digest = hashlib.sha256()
    for row in chain(rows.train, rows.validation):
        update_digest(digest, row)
    teacher = config.teacher.model_dump(
        mode="json", exclude={"cache", "untaught", "folders", "url"}
    )
    files = [file_digest(path) for path in config.teacher.unlabelled if path.is_file()]
    document = [teacher, config.training.seed, labeller.fingerprints, files]
    digest.update(json.dumps(document).encode())
    return digest.hexdigest()


def _summary(counts: TeachingCounts) -> str:
    parts = [f"{counts.rows:,} rows"]
    if counts.copied:
        parts.append(f"{counts.copied:,} changed copies of them")
    if counts.unlabelled:
        parts.append(f"{counts.unlabelled.used:,} unlabelled texts")
    return f"the network learns from {', '.join(parts)}, as the teacher labels them"


def _chunks(parts: Sequence[StoredRows]) -> Iterator[list[str]]:
    """The texts of some rows, hundreds at a time."""
    for stored in parts:
        for texts in stored.texts():
            for start in range(0, len(texts), 512):
                yield texts[start : start + 512]
