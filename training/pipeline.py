"""The walk of a training run: corpora in, a model folder out, evaluated as it will serve.

Puts the rooms together and owns none of their work. Knows nothing of the command line: progress
goes to a callback, figures come back as a `RunMetrics`.
"""

import hashlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import PRECISIONS
from gatewise.service.model.model_folder import ModelFolder, check_target, write_model_folder
from gatewise.training.config.config import Config
from gatewise.training.data import corpora as reading
from gatewise.training.data.corpora import Corpora
from gatewise.training.data.preparation import Prepared, prepare
from gatewise.training.data.stored_rows import StoredRows
from gatewise.training.evaluation import decision_rules, model_benchmark
from gatewise.training.evaluation.error_analysis import Review
from gatewise.training.evaluation.evaluate import Report, evaluate
from gatewise.training.evaluation.model_benchmark import ExportedModel
from gatewise.training.fit.progress import Fitted, Progress
from gatewise.training.network import parameters
from gatewise.training.report.contents import ReportContents, VectorCoverage
from gatewise.training.run_metrics import RunMetrics
from gatewise.training.workspace import Workspace, working
from gatewise.vocab.corpus.bad_row_policy import BadRows
from gatewise.vocab.tokenizer.encoded_rows import EncodedRow, encode_rows
from gatewise.vocab.tokenizer.tokenizer import measure_coverage

if TYPE_CHECKING:
    from gatewise.training.trained_model import TrainedModel

_TIMED_TEXTS = 256

_NOT_IDENTITY = {"training": {"tensorboard", "mlflow"}}
"""Settings that a run may change as it goes on from its checkpoint."""


def train(
    corpora: Corpora,
    out: Path,
    config: Config,
    bad_rows: BadRows,
    on_progress: Callable[[Progress], None],
    *,
    resume: bool = False,
) -> RunMetrics:
    """Trains a classifier and writes its model folder, whole or not at all.

    Args:
        corpora: Where the rows are.
        out: The folder to write; an earlier model folder there is replaced.
        config: Every setting.
        bad_rows: What happens to rows that cannot be used.
        on_progress: Called as the network is fitted; may raise to end the run.
        resume: Whether to go on where an earlier run of the same settings and rows was stopped.

    Raises:
        GatewiseError: If the rows cannot be used or the folder cannot be written.
    """
    check_target(out)
    with working(out) as space:
        rows = reading.read(corpora, config, bad_rows, space.data)
        if rows.duplicates:
            on_progress(Progress(0, 0, finding=f"duplicates: {rows.duplicates.summary()}"))
        prepared = prepare(rows, config, bad_rows, space.data)
        config = prepared.config
        if vectors := prepared.vectors:
            told = f"vectors: {vectors.found:,} of the dictionary's {vectors.of:,} tokens have one"
            on_progress(Progress(0, 0, finding=told))
        if resume and not space.checkpoint.exists():
            on_progress(Progress(0, 0, finding="no checkpoint: the run begins at the start"))
        trained, fitted = _trained(prepared, config, space, on_progress, resume=resume)
        with write_model_folder(out) as folder:
            return _written(folder, trained, fitted, prepared, config, on_progress)


def _trained(
    prepared: Prepared,
    config: Config,
    space: Workspace,
    on_progress: Callable[[Progress], None],
    *,
    resume: bool,
) -> tuple["TrainedModel", Fitted]:
    # Only now: TensorFlow takes seconds to import, and most mistakes are told without it.
    from gatewise.training.fit import devices
    from gatewise.training.fit.checkpoint import Checkpoints
    from gatewise.training.fit.document_frequencies import count_ngrams
    from gatewise.training.fit.fit import fit
    from gatewise.training.fit.loss import objective
    from gatewise.training.network.build import build, exported_parameters
    from gatewise.training.onnx_export.keras_to_onnx import to_onnx
    from gatewise.training.trained_model import TrainedModel

    rows = prepared.rows
    devices.share_out(config.training.threads)
    with devices.strategy().scope():
        model = build(
            config.network,
            prepared.shape,
            config.training.seed,
            prepared.vectors,
            prepared.spelling,
        )
    count_ngrams(model, prepared.train)
    fitted = fit(
        model,
        objective(config.training, prepared.train, len(rows.labels), multi_label=rows.multi_label),
        config.training,
        prepared.train,
        prepared.validation,
        Checkpoints(space.checkpoint, _identity(prepared, config)),
        on_progress,
        resume=resume,
    )
    trained = TrainedModel(
        lowered=to_onnx(model, config.network),
        tokenizer=prepared.tokenizer,
        labels=rows.labels,
        multi_label=rows.multi_label,
        shape=prepared.shape,
        config=config,
        parameters=exported_parameters(model),
        corpus_sha256=prepared.corpus_sha256,
    )
    return trained, fitted


def _written(
    folder: ModelFolder,
    trained: "TrainedModel",
    fitted: Fitted,
    prepared: Prepared,
    config: Config,
    on_progress: Callable[[Progress], None],
) -> RunMetrics:
    """Writes the folder and has it evaluated by the very classifier that will serve it."""
    rows = prepared.rows
    trained.write(folder)
    classifier = Classifier.load(folder.path)
    calibration = (
        decision_rules.calibration(classifier, rows) if config.training.calibration else None
    )
    if calibration and calibration.temperature != 1:
        trained = trained.divided_by(calibration.temperature)
        trained.write(folder)
        classifier = Classifier.load(folder.path)
    rejection = None
    if rows.multi_label:
        trained.write(folder, thresholds=decision_rules.label_thresholds(classifier, rows))
        classifier = Classifier.load(folder.path)
    elif config.reject.is_wanted:
        rejection = decision_rules.rejection(classifier, rows, config.reject)
        if not rejection.reached:
            told = (
                f"reject.target_precision={rejection.target_precision}: no threshold reaches it on "
                f"the validation rows; {rejection.chosen.threshold:.4g} comes nearest"
            )
            on_progress(Progress(0, 0, finding=told))
        trained.write(folder, reject=rejection.settings())
        classifier = Classifier.load(folder.path)
    review = Review.of(classifier)
    encoded = {part: _encoded(classifier, stored) for part, stored in rows.parts().items()}
    validation = evaluate(classifier, encoded["validation"], None if rows.test else review.add)
    run = RunMetrics(
        rows=len(rows.train),
        labels=len(rows.labels),
        tokens=prepared.shape.vocab_size,
        parameters=trained.parameters,
        coverage=measure_coverage(
            prepared.tokenizer, (text for texts in rows.validation.texts() for text in texts)
        ),
        fitted=fitted,
        validation=validation,
        test=evaluate(classifier, encoded["test"], review.add) if rows.test else None,
    )
    models = _measured(
        classifier, run.test or validation, rows.test or rows.validation, rows.validation
    )
    for finding in model_benchmark.costly(models):
        on_progress(Progress(0, 0, finding=finding))
    vectors = prepared.vectors
    contents = ReportContents(
        run=run,
        config=config,
        manifest=trained.manifest(),
        reviewed=review.reviewed(),
        part="test" if rows.test else "validation",
        layers=parameters.parameters(config.network, prepared.shape),
        calibration=calibration,
        rejection=rejection,
        models=models,
        duplicates=rows.duplicates,
        copies=rows.copies,
        vectors=VectorCoverage(vectors.found, vectors.of) if vectors else None,
    )
    trained.write_figures(folder, contents)
    return run


def _measured(
    classifier: Classifier, figures: Report, shown: StoredRows, timed: StoredRows
) -> tuple[ExportedModel, ...]:
    """Each model of the folder that a classifier is of, whose own figures are known."""
    texts = itertools.chain.from_iterable(timed.texts())
    sample = list(itertools.islice(texts, _TIMED_TEXTS))
    models = [model_benchmark.measure(classifier, figures, sample)]
    for precision in PRECISIONS[1:]:
        smaller = Classifier.load(classifier.artifact.folder.path, precision=precision)
        models.append(
            model_benchmark.measure(smaller, evaluate(smaller, _encoded(smaller, shown)), sample)
        )
    return tuple(models)


def _encoded(classifier: Classifier, rows: StoredRows) -> Iterator[EncodedRow]:
    # Rows without a token were told of, and left out, when the rows were prepared.
    encoded = encode_rows(classifier.encode, rows)
    return (row for row in encoded if isinstance(row, EncodedRow))


def _identity(prepared: Prepared, config: Config) -> dict[str, Any]:
    """What must be the same for a run to go on from a checkpoint."""
    settings = config.model_dump(mode="json", exclude=_NOT_IDENTITY)
    vectors = prepared.vectors
    return {
        **{
            f"{section}.{name}": value
            for section, values in settings.items()
            for name, value in values.items()
        },
        "rows to learn from": prepared.corpus_sha256,
        "rows to validate with": prepared.validation_sha256,
        "pretrained vectors": hashlib.sha256(vectors.matrix.tobytes()).hexdigest()
        if vectors
        else None,
    }
