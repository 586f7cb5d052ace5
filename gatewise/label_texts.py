"""`label`: the work of `gatewise label` and of `gatewise.label`, texts labelled by a teacher."""

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gatewise.inputs import bad_rows_policy, check_outputs
from gatewise.service.model.scores import shortest
from gatewise.service.scoring.destination import Destination
from gatewise.service.scoring.row_format import RowFormat
from gatewise.sources import text_values
from gatewise.train_model import named_teacher, reporting
from gatewise.training.config.config import Config, ConfigError, of_settings
from gatewise.training.fit.progress import LABELLING, Finding, OnProgress, Progress
from gatewise.training.teacher.endpoint_teacher import EndpointTeacher
from gatewise.training.teacher.gatewise_model import GatewiseModel, is_gatewise_model
from gatewise.training.teacher.labeller import open_endpoint
from gatewise.training.teacher.teacher import TeacherError
from gatewise.training.teacher.vector_cache import locked
from gatewise.training.workspace import teacher_cache_of
from gatewise.vocab.corpus.columns import LABEL, PROBABILITY_PREFIX
from gatewise.vocab.corpus.corpus_reader import texts_with_records
from gatewise.vocab.corpus.labels import Labels
from gatewise.vocab.corpus.memory_records import MemoryRecords, MemoryTable
from gatewise.vocab.corpus.record_stream import RecordStream, open_records
from gatewise.vocab.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gatewise.train_model import Shown

T = TypeVar("T")

_WINDOW = 4096
_TEXT = "text"


@dataclass(frozen=True, eq=False)
class TeacherLabels:
    """Texts with the labels that a teacher gave them.

    Attributes:
        texts: The texts, those of bad rows left out.
        classes: The labels of the task, sorted.
        labels: The most probable label of each text; None for a text that got none.
        probabilities: The probability of each label, `(texts, classes)`; NaN where there is none.
    """

    texts: tuple[str, ...]
    classes: tuple[str, ...]
    labels: tuple[str | None, ...]
    probabilities: NDArray[np.float32]

    @property
    def counts(self) -> dict[str | None, int]:
        """How many texts each label has; those without one under None."""
        found = Counter(self.labels)
        return {name: found[name] for name in (*self.classes, None)}


def label(
    texts: object,
    labels: Sequence[str],
    *,
    settings: "Mapping[str, object]",
    out: str | os.PathLike[str] | None = None,
    rejects: str | os.PathLike[str] | None = None,
    config: str | os.PathLike[str] | None = None,
    progress: "Shown" = None,
) -> TeacherLabels:
    """Labels texts; the arguments are those of `gatewise.label`."""
    run_config = of_settings(named_teacher(settings), None if config is None else Path(config))
    names = _labels(labels)
    target, aside = (None if path is None else Path(path) for path in (out, rejects))
    cache = run_config.teacher.cache or (teacher_cache_of(target) if target else None)
    source = Path(texts) if isinstance(texts, str | os.PathLike) else None
    check_outputs([source, *run_config.teacher.folders], {"out": target, "rejects": aside})
    destination = None if target is None else Destination.named(target)
    column = run_config.corpus.text_column if source else _TEXT
    with ExitStack() as opened:
        bad_rows = opened.enter_context(bad_rows_policy(aside))
        on_progress = opened.enter_context(reporting(progress))
        records: RecordStream | MemoryRecords
        if source:
            records = open_records(source, options=run_config.corpus.read_options())
        else:
            records = MemoryRecords(MemoryTable("rows", (_TEXT,), {_TEXT: text_values(texts)}))
        for note in records.notes:
            on_progress(Finding(note))
        teacher = _teacher(run_config, names, cache, on_progress)
        rows = list(texts_with_records(records, bad_rows=bad_rows, text_column=column))
        texts = tuple(text for text, _ in rows)
        found = _labelled(texts, names, teacher, run_config.teacher.minutes, on_progress)
        is_written = [name is not None or aside is None for name in found.labels]
        if destination:
            _write(found, np.array(is_written), destination)
        without = [record for (_, record), kept in zip(rows, is_written, strict=True) if not kept]
        list(bad_rows.keep(record.bad("the teacher gave the text no label") for record in without))
    return found


def _labels(labels: Sequence[str]) -> Labels:
    if isinstance(labels, str) or not all(isinstance(name, str) for name in labels):
        raise ArgumentError("labels: expected a sequence of strings", option="labels")
    if len(set(labels)) < 2 or not all(name and not name.isspace() for name in labels):
        raise ArgumentError(
            f"labels: expected the names of two labels or more, received {list(labels)}",
            option="labels",
        )
    return Labels.of(labels)


def _teacher(
    config: Config, labels: Labels, cache: Path | None, on_progress: OnProgress
) -> EndpointTeacher | GatewiseModel:
    """The teacher of the settings, opened before a text is read."""
    if config.teacher.url is None or config.teacher.folders:
        return _gatewise_model(config, labels)
    if cache is None:
        raise ConfigError(
            "teacher.cache: expected a folder in which the answers are kept, or out, a file to "
            "write, beside which they are: every answer is paid for"
        )
    return open_endpoint(config, labels, cache, on_progress)


def _labelled(
    texts: tuple[str, ...],
    labels: Labels,
    teacher: EndpointTeacher | GatewiseModel,
    minutes: float | None,
    on_progress: OnProgress,
) -> TeacherLabels:
    done, begun = 0, time.monotonic()

    def add(count: int) -> None:
        nonlocal done
        done += count
        on_progress(Progress(done, len(texts), stage=f"{LABELLING}labelling texts"))
        if minutes is not None and done < len(texts) and time.monotonic() - begun > 60 * minutes:
            raise TeacherError(
                f"teacher.minutes={minutes:g}: expected time for {len(texts):,} texts, received it "
                f"for {done:,}: allow more"
            )

    windows = []
    if isinstance(teacher, EndpointTeacher):
        with locked(teacher.folder):
            teacher.report_cost(texts)
            try:
                windows = [teacher.vectors(window, add) for window in _windows(texts)]
            finally:
                teacher.report_use()
    else:
        for window in _windows(texts):
            windows.append(teacher.vectors(window))
            add(len(window))
    found = np.concatenate(windows)
    has_label = ~np.isnan(found[:, 0])
    best = np.where(has_label, np.nan_to_num(found).argmax(axis=1), -1)
    names = tuple(labels.names[index] if index >= 0 else None for index in best)
    return TeacherLabels(texts, labels.names, names, found)


def _gatewise_model(config: Config, labels: Labels) -> GatewiseModel:
    teacher = config.teacher
    if teacher.url is not None or len(teacher.folders) != 1:
        raise ConfigError("teacher: expected one teacher: the URL of an endpoint, or a folder")
    (path,) = teacher.folders
    if not is_gatewise_model(path):
        raise TeacherError(
            f"{path}: expected the URL of an endpoint, such as http://127.0.0.1:8080/v1, or a "
            "Gatewise model folder: an encoder has no labels of its own, it learns them from "
            "labelled rows (gatewise train)",
            option="teacher",
        )
    return GatewiseModel(path, labels, multi_label=False)


def _windows(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _WINDOW):
        yield items[start : start + _WINDOW]


def _write(found: TeacherLabels, is_written: NDArray[np.bool_], destination: Destination) -> None:
    """Writes the texts with label and probabilities, the whole file or none."""
    columns = [PROBABILITY_PREFIX + name for name in found.classes]
    schema = pa.schema(
        [
            *((name, pa.string()) for name in (_TEXT, LABEL)),
            *((name, pa.float32()) for name in columns),
        ]
    )
    row_format = RowFormat(destination.file.format, destination.file.compression, schema)
    with destination.open({}, resume=False) as output:
        output.write(row_format.header(), b"")
        for window in _windows(np.flatnonzero(is_written).tolist()):
            rows = [
                {
                    _TEXT: found.texts[row],
                    LABEL: found.labels[row],
                    **dict(zip(columns, _values(found.probabilities[row]), strict=True)),
                }
                for row in window
            ]
            output.write(row_format.encode(rows), b"")
        destination.deliver(output, row_format)


def _values(probabilities: NDArray[np.float32]) -> list[float | None]:
    return [None if np.isnan(value) else shortest(value) for value in probabilities]
