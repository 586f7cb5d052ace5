"""Gatewise as `gatewise train` trains it, with a teacher or without, and with copies alone."""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.accuracy import encoders
from benchmarks.accuracy.draws import Draw
from benchmarks.accuracy.points import Outcome
from benchmarks.lib.command import BenchmarkError
from benchmarks.lib.corpora import Rows
from gatewise.training.config import config as configs
from gatewise.training.config.config import Config
from gatewise.training.data import auto_settings, corpora
from gatewise.training.data.corpora import Corpora
from gatewise.training.evaluation.evaluate import Report
from gatewise.training.fit.progress import Finding, Progress
from gatewise.training.pipeline import train
from gatewise.training.report.contents import ReportContents
from gatewise.training.teacher.changed_rows import KnownTexts, RowChanger
from gatewise.training.teacher.encoder_folder import read_encoder_folder
from gatewise.training.teacher.text_encoder import TextEncoder
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import Row

_PREFIX = "probability_"


def processor_seconds() -> float:
    """Processor time of this process, and of those that it waited for."""
    return sum(os.times()[:4])


class StageTimes:
    """Called with what a run reports, it counts the processor seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = processor_seconds()

    def __call__(self, event: Progress | Finding) -> None:
        """Adds the time since the last event to the stage of this one."""
        if isinstance(event, Progress):
            self.end(event.stage)

    def end(self, stage: str) -> None:
        """Adds the time since the last event to a stage."""
        now = processor_seconds()
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + now - self._last, 2)
        self._last = now


def gatewise(draw: Draw, settings: Sequence[str], kept: Path) -> Outcome:
    """Trains a model folder as `gatewise train` does, with the number of the draw as seed.

    Args:
        draw: The rows.
        settings: Settings, `section.key=value`.
        kept: Folder for what a teacher gives for the texts until the run is done, unless the
            settings name one that several runs share: with that, the times are not those of a run.
    """
    config = _config(draw, settings)
    own = config.teacher.cache is None
    cache = config.teacher.cache or kept
    is_cached = cache.exists()
    with TemporaryDirectory() as scratch:
        outcome = _trained(
            _written(draw, Path(scratch)), Path(scratch), config.changed("teacher", cache=cache)
        )
    if own:
        shutil.rmtree(cache, ignore_errors=True)
    return replace(outcome, details={**outcome.details, "cached": True}) if is_cached else outcome


def control(draw: Draw, settings: Sequence[str], _: Path) -> Outcome:
    """Trains the student of a teacher on the same copies, each with the labels of its row.

    The labels are probabilities of one, so that the linear path is fitted as a student's is: in a
    cross-validation copies of one text would be on both sides.
    """
    config = _config(draw, settings)
    encoder = TextEncoder(read_encoder_folder(encoders.model_folder()))
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        rows = corpora.read(_written(draw, folder), config, StopAtBadRows(), folder)
        known = KnownTexts()
        for part in rows.parts().values():
            known.add(chain.from_iterable(part.texts()))
        changer = RowChanger(rows, draw.number, known, encoder.similar_words)
        learnt = list(rows.train)
        for number in range(config.teacher.copies_of(len(rows.train))):
            learnt += chain.from_iterable(made for made, _ in changer.copies(number))
        taught = replace(draw, train=_rows(learnt), validation=_rows(rows.validation))
        given = replace(
            _written(taught, folder),
            train=_write_probabilities(folder / "probabilities.csv", taught),
        )
        config = config.changed("corpus", duplicates="ignore", probability_prefix=_PREFIX)
        # The settings that a teacher's student has.
        config = config.changed("training", refit=False).without_teacher()
        read = corpora.read(given, config, StopAtBadRows(), folder)
        config = auto_settings.with_unit(config, read, has_neighbours=changer.has_neighbours)
        return _trained(given, folder, config)


def _config(draw: Draw, settings: Sequence[str]) -> Config:
    return configs.load(assignments=[*settings, f"training.seed={draw.number}"]).without_places()


def _rows(rows: Iterable[Row]) -> Rows:
    texts, labels = zip(*((row.text, row.labels) for row in rows), strict=True)
    return Rows(texts, labels)


def _write_probabilities(file: Path, draw: Draw) -> Path:
    """Writes the training rows with a probability of one for each of their labels."""
    rows = draw.train
    names = sorted(set(chain.from_iterable(rows.labels)))
    shares = {_PREFIX + name: [int(name in labels) for labels in rows.labels] for name in names}
    return rows.write(file, _column(draw), shares)


def _column(draw: Draw) -> str:
    return "labels" if draw.multi_label else "label"


def _written(draw: Draw, folder: Path) -> Corpora:
    column = _column(draw)
    return Corpora(
        draw.train.write(folder / "train.csv", column),
        draw.validation.write(folder / "valid.csv", column) if draw.validation else None,
        draw.test.write(folder / "test.csv", column),
    )


def _trained(given: Corpora, folder: Path, config: Config) -> Outcome:
    times = StageTimes()
    contents = train(given, folder / "model", config, StopAtBadRows(), times)
    times.end("evaluation")
    run = contents.run
    if not (isinstance(run.validation, Report) and isinstance(run.test, Report)):
        raise BenchmarkError("expected reports on the labels of the validation and test rows")
    details = {
        **_details(contents, folder / "model"),
        "validation": run.validation.accuracy,
        "seconds": times.seconds,
    }
    chosen = f"epoch {run.fitted.best.number} of {len(run.fitted.epochs)}"
    if run.test.micro_f1 is None:
        return Outcome(run.test.accuracy, chosen=chosen, details=details)
    return Outcome(run.test.micro_f1, run.test.macro_f1, chosen, details)


def _details(contents: ReportContents, folder: Path) -> Mapping[str, object]:
    """What a run tells beyond the accuracy of its network."""
    run = contents.run
    small = next(model for model in contents.models if model.precision == "int8")
    details: dict[str, object] = {
        "rows": run.teaching.texts if run.teaching else run.rows,
        "unit": contents.config.tokens.unit,
        "int8": {
            **small.metrics,
            "bytes": small.bytes + (folder / "tokenizer.json").stat().st_size,
        },
    }
    if run.teaching and run.comparison:
        models = run.comparison.models()
        del models["student"]
        details |= {
            "copies": run.teaching.copies,
            "teachers": [card.kind for card in run.teaching.teachers],
            **{name: asdict(model.scores("test")) for name, model in models.items()},
        }
    return details
