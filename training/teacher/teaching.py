"""Teaching: the training rows, changed copies of them and unlabelled texts, labelled by teachers.

The teachers read the rows of the corpus first, so that a frozen encoder becomes a classifier of
them; then the unlabelled texts; then a copy of each row after another, as long as there is time.
Validation and test rows are read to compare the teachers with the network; no copy is made of them,
and no copy or unlabelled text is one of them.
"""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, compress, islice
from pathlib import Path
from typing import NoReturn

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
from gatewise.training.teacher.targets import chosen, mix, soften
from gatewise.training.teacher.teacher import (
    LabelledTexts,
    Lesson,
    TeacherCard,
    duration,
    file_digest,
)
from gatewise.training.teacher.time_budget import TimeBudget
from gatewise.training.teacher.unlabelled_texts import (
    Likeness,
    UnlabelledCounts,
    read_texts,
)
from gatewise.training.teacher.vector_cache import OnTexts, locked
from gatewise.vocab.corpus.bad_row_policy import BadRows
from gatewise.vocab.corpus.corpus_reader import Row
from gatewise.vocab.corpus.records import Location

_MAX_LEARNT = 50_000
"""Rows of a part that a teacher becomes a classifier by."""

_WINDOW = 512
"""Texts that the teachers read at a time."""


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
            "teachers": [asdict(card) for card in self.teachers],
            "copies": self.copies,
            "copied_texts": self.copied,
            "unlabelled": asdict(self.unlabelled) if self.unlabelled else None,
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
    if config.corpus.probability_prefix is not None:
        _exclude("corpus.probability_prefix", "the corpus is labelled by another teacher already")
    if config.corpus.weight_column is not None:
        _exclude("corpus.weight_column", "copies and other texts that it labels have no weights")
    if config.training.refit is True:
        reason = "the teacher's network is not trained on the rows held out"
        _exclude("training.refit=true", reason)
    if config.reject.out_of_scope is not None and config.teacher.unlabelled:
        reason = "a teacher gives every text a label"
        _exclude("reject.out_of_scope with teacher.unlabelled", reason)


def _exclude(setting: str, reason: str) -> NoReturn:
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
    train, validation = (_labelled_texts(part, rows) for part in (rows.train, rows.validation))
    lesson = Lesson(train, validation, rows.multi_label, config.training.seed)
    with locked(cache_folder):
        begun = time.monotonic()
        teachers = open_teachers(config, rows.labels, lesson, cache_folder, on_progress)
        spent = time.monotonic() - begun
        labeller = Labeller(teachers, cache_folder)
        identity = _identity(rows, config, labeller)
        budget = TimeBudget(config.teacher.minutes, spent, labeller, cache_folder, identity)
        teaching = _Teaching(rows, config, labeller, budget, on_progress)
        try:
            teaching.read_corpus(train)
            stored = store(teaching.learnt_rows(bad_rows), file, config.tokens.text_limit())
        finally:
            for endpoint in labeller.endpoints:
                endpoint.report_use()
        # Those of the rows were cut already: their lengths are those from before that.
        lengths = np.concatenate([rows.train.characters, stored.lengths[len(rows.train) :]])
        stored = replace(stored, lengths=lengths)
        counts = teaching.counts()
        budget.keep(counts.copies, counts.unlabelled.read if counts.unlabelled else 0)
    on_progress(Finding(_summary(counts)))
    taught = replace(rows, train=stored)
    config = with_unit(config, taught, has_neighbours=teaching.has_neighbours)
    return Taught(taught, config, labeller, counts)


@dataclass(eq=False)
class _Teaching:
    """The labelling of one run; see `teach`.

    Attributes:
        copies: Copies of each row so far.
        copied: Copies in all so far.
        unlabelled: What became of the unlabelled texts, once they are read.
        has_neighbours: Whether words of similar meaning are in the copies, once these are made.
    """

    rows: Rows
    config: Config
    labeller: Labeller
    budget: TimeBudget
    on_progress: OnProgress
    # Every text that the network learns from or is measured on.
    known: KnownTexts = field(default_factory=KnownTexts)
    copies: int = 0
    copied: int = 0
    unlabelled: UnlabelledCounts | None = None
    has_neighbours: bool = False

    def read_corpus(self, train: LabelledTexts) -> None:
        """Has the teachers read all rows, and become classifiers by the training rows."""
        names = ", ".join(
            card.name if card.bytes is None else f"{card.name} ({card.bytes / 1e6:,.0f} MB)"
            for card in self.labeller.cards
        )
        parts = list(self.rows.parts().values())
        total = sum(map(len, parts))
        self._report(f"teacher {names}: reads the {total:,} texts of the corpus")
        for endpoint in self.labeller.endpoints:
            endpoint.report_cost(chain.from_iterable(_chunks(parts)))
        on_texts = self._counting("reading the corpus", total)
        # Those that the teachers read for an earlier run take no time.
        missing = [self.labeller.count_missing(texts) for texts in _chunks(parts)]
        unread = sum(missing)
        for texts, new in zip(_chunks(parts), missing, strict=True):
            self.known.add(texts)
            self.labeller.read(texts, on_texts)
            unread -= new
            self.budget.check(unread)
        self.labeller.learn(train)

    def learnt_rows(self, bad_rows: BadRows) -> Iterator[Row]:
        """The rows that the network learns from."""
        yield from self._own_rows()
        if self.config.teacher.unlabelled:
            yield from self._unlabelled_rows(read_texts(self.config, bad_rows))
        copies = self.budget.copies
        if copies is None:
            copies = self.config.teacher.copies_of(len(self.rows.train))
        if copies:
            yield from self._copied_rows(copies)

    def counts(self) -> TeachingCounts:
        """What `learnt_rows` gave."""
        return TeachingCounts(
            teachers=self.labeller.cards,
            rows=len(self.rows.train),
            copies=self.copies,
            copied=self.copied,
            unlabelled=self.unlabelled,
        )

    def _own_rows(self) -> Iterator[Row]:
        for window in self.rows.train.windows():
            targets = self._targets(window)
            truth = self.rows.labels.matrix([row.labels for row in window])
            mixed = mix(targets, truth, self.config.teacher.hard_share)
            mixed = np.where(np.isnan(mixed), truth, mixed)
            for row, target in zip(window, mixed, strict=True):
                in_scope = self.rows.in_scope(row)
                yield replace(row, probabilities=tuple(target.tolist())) if in_scope else row

    def _unlabelled_rows(self, texts: Iterator[str]) -> Iterator[Row]:
        """The texts that are new and like the corpus, as far as there is time."""
        on_texts = self._counting("labelling unlabelled texts", 0)
        own, validation = sample(self.rows.train), sample(self.rows.validation)
        likeness = Likeness(self.labeller.vectors, own, validation)
        file = str(self.config.teacher.unlabelled[0])
        counts = Counter[str]()
        texts = islice(texts, self.budget.unlabelled)
        while (window := list(islice(texts, _WINDOW))) and self.budget.has_for(len(window)):
            new = [text for text in window if self.known.is_new(text)]
            self.labeller.read(new)
            kept = list(compress(new, likeness.is_like(new))) if new else []
            labelled = self._labelled(
                [Row(text, (), Location(file, counts["read"] + n)) for n, text in enumerate(kept)]
            )
            yield from labelled
            counts.update(
                read=len(window),
                known=len(window) - len(new),
                unlike=len(new) - len(kept),
                without_label=len(kept) - len(labelled),
                used=len(labelled),
            )
            on_texts(len(window))
        self.unlabelled = UnlabelledCounts(**counts)
        self._report(str(self.unlabelled))

    def _copied_rows(self, copies: int) -> Iterator[Row]:
        """Changed copies of every row, one after another as far as there is time."""
        count = len(self.rows.train)
        speed = self.labeller.seconds_per_text
        about = f", about {duration(copies * count * speed)} at most" if speed else ""
        self._report(
            f"teacher labels {copies} changed copies of each text: {copies * count:,} texts{about}"
        )
        on_texts = self._counting("labelling copies", copies * count)
        seed, similar_words = self.config.training.seed, self.labeller.similar_words
        changer = RowChanger(self.rows, seed, self.known, similar_words)
        self.has_neighbours = changer.has_neighbours
        while self.copies < copies and self.budget.has_for(count):
            for made, left_out in changer.copies(self.copies):
                outside = [row for row in made if not self.rows.in_scope(row)]
                yield from outside
                on_texts(left_out + len(outside))
                inside = [row for row in made if self.rows.in_scope(row)]
                labelled = self._labelled(inside, on_texts)
                yield from labelled
                self.copied += len(outside) + len(labelled)
            self.copies += 1
        if self.copies < copies:
            self._report(
                f"teacher.minutes={self.config.teacher.minutes:g}: time for {self.copies} of "
                f"{copies} copies of each text"
            )

    def _labelled(self, rows: Sequence[Row], on_texts: OnTexts = lambda _: None) -> list[Row]:
        """Rows with the teachers' probabilities, and the labels that these tell.

        A text that no teacher gives a label is left out.
        """
        if not rows:
            return []
        names = self.rows.labels.names
        targets = self._targets(rows, on_texts)
        best = chosen(targets, 0.5 if self.rows.multi_label else None)
        return [
            replace(row, labels=tuple(compress(names, has)), probabilities=tuple(target.tolist()))
            for row, target, has in zip(rows, targets, best, strict=True)
            if not np.isnan(target[0])
        ]

    def _targets(
        self, rows: Sequence[Row], on_texts: OnTexts = lambda _: None
    ) -> NDArray[np.float64]:
        found = self.labeller.probabilities([row.text for row in rows], on_texts)
        return soften(found, self.config.teacher.temperature, multi_label=self.rows.multi_label)

    def _counting(self, stage: str, texts: int) -> OnTexts:
        """A function that reports how far a stage has come, called with texts that are done."""
        done = 0

        def add(count: int) -> None:
            nonlocal done
            done += count
            self.on_progress(Progress(done, max(texts, done), stage=LABELLING + stage))

        return add

    def _report(self, message: str) -> None:
        self.on_progress(Finding(message))


def _labelled_texts(part: StoredRows, rows: Rows) -> LabelledTexts:
    """The rows of a part that are in scope, evenly spaced if there are very many."""
    read = [row for row in part.sample(_MAX_LEARNT) if rows.in_scope(row)]
    truth = rows.labels.matrix([row.labels for row in read])
    return LabelledTexts([row.text for row in read], truth)


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
            for start in range(0, len(texts), _WINDOW):
                yield texts[start : start + _WINDOW]
