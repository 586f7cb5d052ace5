"""A training run, step by step: corpora in, a model folder out; and the check of its corpora.

Read `train` first; every step after it is a function here, in the order in which they run.
TensorFlow is imported by the step that builds the network, so that most mistakes are reported
before those seconds.
"""

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import PRECISIONS
from gatewise.service.model.model_folder import check_target, write_model_folder
from gatewise.training.config.config import Config
from gatewise.training.data import auto_settings, corpus_check, examples
from gatewise.training.data.corpora import Corpora, Rows, read
from gatewise.training.data.corpus_findings import CorpusCheck, CorpusFinding, refuse
from gatewise.training.data.encoded_corpus import EncodedCorpus, encode_corpus
from gatewise.training.data.examples import Examples
from gatewise.training.data.row_survey import survey
from gatewise.training.data.stored_rows import StoredRows
from gatewise.training.evaluation import baselines, decision_rules, model_benchmark
from gatewise.training.evaluation.baselines import Baselines
from gatewise.training.evaluation.calibration import Calibration
from gatewise.training.evaluation.error_analysis import ErrorAnalysis, ErrorAnalyzer
from gatewise.training.evaluation.evaluate import Report, evaluate
from gatewise.training.evaluation.model_benchmark import ExportedModel
from gatewise.training.evaluation.rejection import Rejection
from gatewise.training.fit.progress import Finding, Fitted, OnProgress, Progress
from gatewise.training.network import parameters
from gatewise.training.network.blueprint import Blueprint, blueprint
from gatewise.training.report.contents import ReportContents
from gatewise.training.run_metrics import RunMetrics
from gatewise.training.teacher import comparison, labeller, teaching
from gatewise.training.teacher.comparison import ComparedModel, Comparison, Scores
from gatewise.training.teacher.teaching import Taught
from gatewise.training.workspace import (
    ALL_ROWS,
    TAUGHT_ROWS,
    UNTAUGHT,
    Workspace,
    open_workspace,
    teacher_cache_of,
)
from gatewise.vocab.corpus.bad_row_policy import BadRows, CountBadRows
from gatewise.vocab.errors import CorpusError
from gatewise.vocab.tokenizer.tokenizer import train_tokenizer

if TYPE_CHECKING:
    import keras

    from gatewise.training.fit.loss import Loss
    from gatewise.training.trained_model import TrainedModel

_TIMED_TEXTS = 256

_NOT_IDENTITY = {"corpus": {"check"}, "training": {"refit", "tensorboard", "mlflow"}}
"""Settings that may change when a run is resumed."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything that a network is built from and trained on.

    Attributes:
        config: The run's settings, those left to the rows filled in.
        tokenizer: The dictionary.
        blueprint: What the network is built from.
        corpus: The rows as ids and targets.
    """

    config: Config
    tokenizer: Tokenizer
    blueprint: Blueprint
    corpus: EncodedCorpus


@dataclass(frozen=True)
class _Decisions:
    """What was chosen on the validation rows; None where the task or the settings need none."""

    calibration: Calibration | None
    rejection: Rejection | None


@dataclass(frozen=True)
class _Learnt:
    """A model, as its networks were trained and everything was chosen.

    Attributes:
        fitted: How the network was fitted.
        first_model: The model as it was trained without the validation rows.
        model: The model of the folder: the same, unless it was trained again on all rows.
        decisions: What was chosen on the validation rows.
    """

    fitted: Fitted
    first_model: "TrainedModel"
    model: "TrainedModel"
    decisions: _Decisions

    @cached_property
    def served(self) -> Classifier:
        """The classifier of the model."""
        return self.model.classifier()

    @cached_property
    def validated(self) -> Classifier:
        """The classifier that has not learnt from the validation rows."""
        return self.served if self.first_model is self.model else self.first_model.classifier()


@dataclass(frozen=True)
class _Evaluation:
    """What the classifiers that serve the model do with the validation and test rows."""

    validation: Report
    test: Report | None
    reviewed: ErrorAnalysis
    models: tuple[ExportedModel, ...]


def train(
    corpora: Corpora,
    out: Path,
    config: Config,
    bad_rows: BadRows,
    on_progress: OnProgress,
    *,
    resume: bool = False,
    is_trial: bool = False,
) -> RunMetrics:
    """Trains a classifier and writes its model folder, whole or not at all.

    Args:
        corpora: Where the rows are.
        out: The folder to write; an earlier model folder there is replaced.
        config: Every setting.
        bad_rows: What happens to rows that cannot be used.
        on_progress: Called as the network is fitted, and for each finding; may raise to end the
            run.
        resume: Whether to resume an interrupted run of the same settings and rows.
        is_trial: Whether the model is compared with others first: there are no baselines and no
            second training, and the checkpoint stays, from which a resumed run makes both up.

    Raises:
        GatewiseError: If the rows cannot be used or the folder cannot be written.
    """

    def report(finding: str) -> None:
        on_progress(Finding(finding))

    def reported(check: CorpusCheck, findings: list[CorpusFinding]) -> CorpusCheck:
        for finding in findings:
            on_progress(Finding(str(finding), finding.code))
        return check.with_findings(findings)

    check_target(out)
    teaching.check_settings(config)
    labeller.check_folders(config)
    with open_workspace(out, keep_checkpoint=is_trial) as space:
        rows = read(corpora, config, bad_rows, space.data)
        for note in rows.notes:
            report(note)
        found = survey(rows)
        findings = corpus_check.check_rows(rows, found, config)
        refuse(findings, config)
        check = reported(CorpusCheck(found), findings)
        taught = _teach(rows, config, bad_rows, out, space, on_progress)
        prepared = prepare(taught.rows if taught else rows, config, bad_rows, space.data)
        if is_trial:
            prepared = replace(prepared, config=prepared.config.changed("training", refit=False))
        check = reported(
            check,
            corpus_check.check_texts(prepared.corpus, prepared.tokenizer, found, prepared.config),
        )
        if vectors := prepared.blueprint.vectors:
            report(f"vectors: {vectors.found:,} of the dictionary's {vectors.of:,} tokens have one")
        if resume and not space.checkpoint.exists():
            report("no checkpoint: the run begins at the start")
        learnt = _learn(prepared, space, on_progress, report, resume=resume)
        model = learnt.model
        if prepared.config.training.refit:
            fitted, aside = len(prepared.corpus.rows.train), len(prepared.corpus.validation)
            report(
                f"trained again on all {fitted + aside:,} rows, once everything was chosen on the "
                f"{aside:,} held out: the validation metrics are those of the first training"
            )
        evaluation = _evaluate(learnt, prepared.corpus)
        for finding in model_benchmark.accuracy_losses(evaluation.models):
            report(finding)
        check = reported(check, _never_predicted(evaluation, prepared.config))
        run = _metrics(model, prepared, learnt.fitted, evaluation)
        if taught:
            run = replace(run, rows=taught.counts.rows, teaching=taught.counts)
        if not is_trial:
            own = rows.train if taught else prepared.corpus.rows.train
            run = replace(run, baselines=_baselines(prepared, own))
            if taught:
                run = replace(
                    run,
                    comparison=_compare(
                        taught, rows, config, prepared, learnt, evaluation, space, on_progress
                    ),
                )
        contents = replace(
            _report_contents(model, prepared, run, learnt.decisions, evaluation),
            check=check,
            automatic=auto_settings.resolved(config, prepared.config),
        )
        with write_model_folder(out) as folder:
            model.write(folder, contents)
        return run


def check_corpus(corpora: Corpora, config: Config) -> CorpusCheck:
    """Checks a corpus without training on it; rows that cannot be used are a finding.

    Args:
        corpora: Where the rows are.
        config: The settings that a training run would have.

    Raises:
        GatewiseError: If a corpus cannot be read, or no model could be trained on it.
    """
    bad_rows = CountBadRows()
    with tempfile.TemporaryDirectory() as folder:
        try:
            rows = read(corpora, config, bad_rows, Path(folder))
        except CorpusError as error:
            if bad_rows.first is None:
                raise
            raise CorpusError(
                f"{error}; the first bad row is at "
                f"{bad_rows.first.location}: {bad_rows.first.reason}",
                option=error.option,
            ) from None
        found = survey(rows)
        prepared = prepare(rows, config, bad_rows, Path(folder))
        findings = [
            *corpus_check.check_rows(rows, found, config),
            *corpus_check.check_texts(prepared.corpus, prepared.tokenizer, found, prepared.config),
            *corpus_check.check_bad_rows(bad_rows),
        ]
    return CorpusCheck(found, notes=rows.notes).with_findings(findings)


def prepare(rows: Rows, config: Config, bad_rows: BadRows, folder: Path) -> Prepared:
    """Builds the dictionary, plans the network and encodes the rows.

    Args:
        rows: From `gatewise.training.data.corpora.read`.
        config: The run's settings.
        bad_rows: What happens to a row whose text holds no token.
        folder: Folder in which ids and targets are kept for the run.

    Raises:
        GatewiseError: If the rows, the vectors or the settings cannot be used.
    """
    config = auto_settings.with_refit(config, rows)
    config = auto_settings.with_class_weights(config, rows)
    config = auto_settings.with_linear_path(config, rows)
    config = auto_settings.with_vectors(auto_settings.with_unit(config, rows))
    config = auto_settings.with_pieces(config, rows)
    texts = rows.train.texts
    tokenizer = train_tokenizer(chain.from_iterable(texts()), **config.tokens.dictionary_options())
    # A network that cannot be built is refused before the rows are encoded.
    planned = blueprint(config, tokenizer, len(rows.labels), chain.from_iterable(texts()))
    corpus = encode_corpus(rows, tokenizer, config, bad_rows, folder)
    return Prepared(
        config=auto_settings.with_epochs(config, corpus.train.tokens),
        tokenizer=tokenizer,
        blueprint=planned.with_buckets(config, corpus.train.tokens),
        corpus=corpus,
    )


def _teach(
    rows: Rows,
    config: Config,
    bad_rows: BadRows,
    out: Path,
    space: Workspace,
    on_progress: OnProgress,
) -> Taught | None:
    """The rows as a teacher labels them, and copies of them; None without a teacher."""
    if not config.teacher.is_wanted:
        return None
    cache = config.teacher.cache or teacher_cache_of(out)
    return teaching.teach(rows, config, bad_rows, space.data / TAUGHT_ROWS, cache, on_progress)


def _learn(
    prepared: Prepared,
    space: Workspace,
    on_progress: OnProgress,
    report: Callable[[str], None],
    *,
    resume: bool,
) -> _Learnt:
    """Trains the network, chooses everything else, and trains again if the settings say so."""
    network, fitted = _fit(prepared, space, on_progress, resume=resume)
    first_model, decisions = _decide(_export(network, prepared), prepared, report)
    model = first_model
    if prepared.config.training.refit:
        model = _refit(first_model, decisions, prepared, fitted, space, on_progress)
    return _Learnt(fitted, first_model, model, decisions)


def _fit(
    prepared: Prepared, space: Workspace, on_progress: OnProgress, *, resume: bool
) -> tuple["keras.Model", Fitted]:
    """Builds the network and trains it."""
    from gatewise.training.fit.checkpoint import Checkpoints
    from gatewise.training.fit.fit import fit

    corpus, settings = prepared.corpus, prepared.config.training
    max_length = prepared.config.tokens.max_length
    train = corpus.train.windows(max_length)
    network, strength = _untrained(prepared, train)
    fitted = fit(
        network,
        _loss(prepared, corpus.train),
        settings,
        train,
        corpus.validation.examples.windows(max_length),
        Checkpoints(space.checkpoint, _identity(prepared)),
        on_progress,
        resume=resume,
    )
    return network, replace(fitted, strength=strength)


def _refit(
    chosen: "TrainedModel",
    decisions: "_Decisions",
    prepared: Prepared,
    fitted: Fitted,
    space: Workspace,
    on_progress: OnProgress,
) -> "TrainedModel":
    """Trains another network on all rows, with what was chosen on those held out of the first."""
    from gatewise.training.fit.fit import refit

    corpus = prepared.corpus
    parts = (corpus.train, corpus.validation.texts)
    rows = examples.concatenate(parts, space.data / ALL_ROWS)
    windows = rows.windows(prepared.config.tokens.max_length)
    network, _ = _untrained(prepared, windows, fitted.strength)
    refit(
        network,
        _loss(prepared, rows),
        prepared.config.training,
        windows,
        fitted,
        on_progress,
    )
    model = replace(
        _export(network, prepared),
        thresholds=chosen.thresholds,
        reject=chosen.reject,
        corpus_sha256=_digest_of(corpus.train_sha256, corpus.validation_sha256),
    )
    if decisions.calibration and decisions.calibration.temperature != 1:
        model = model.divided_by(decisions.calibration.temperature)
    return model


def _untrained(
    prepared: Prepared, rows: Examples, strength: float | None = None
) -> tuple["keras.Model", float | None]:
    """The network with its initial weights, for these training rows; the linear path is solved.

    Args:
        prepared: The run.
        rows: The training rows.
        strength: The C by which the path is solved; None to choose it by cross-validation.

    Returns:
        The network, and the C; None if the path is not solved.
    """
    from gatewise.training.fit import devices
    from gatewise.training.fit.document_frequencies import count_ngrams
    from gatewise.training.fit.linear_path import solve_linear_path
    from gatewise.training.fit.output_bias import set_output_bias
    from gatewise.training.network.build import build

    config, planned = prepared.config, prepared.blueprint
    devices.set_operation_threads(config.training.threads)
    with devices.strategy().scope():
        network = build(
            config.network,
            planned.shape,
            config.training.seed,
            planned.vectors,
            planned.char_ngrams,
        )
    multi_label = prepared.corpus.rows.multi_label
    if multi_label:
        set_output_bias(network, rows)
    count_ngrams(network, rows, planned.word_splits)
    if config.training.linear_path == "solved":
        strength = solve_linear_path(
            network,
            rows,
            planned.solver_spelling,
            config.training,
            multi_label=multi_label,
            strength=strength,
        )
    return network, strength


def _loss(prepared: Prepared, rows: Examples) -> "Loss":
    from gatewise.training.fit.loss import make_loss

    corpus = prepared.corpus.rows
    return make_loss(
        prepared.config.training, rows, len(corpus.labels), multi_label=corpus.multi_label
    )


def _digest_of(*digests: str) -> str:
    """One digest of several."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _identity(prepared: Prepared) -> dict[str, Any]:
    """What must be the same for a checkpoint to be resumed."""
    settings = prepared.config.model_dump(mode="json", exclude=_NOT_IDENTITY)
    vectors = prepared.blueprint.vectors
    return {
        **{
            f"{section}.{name}": value
            for section, values in settings.items()
            for name, value in values.items()
        },
        "training rows": prepared.corpus.train_sha256,
        "validation rows": prepared.corpus.validation_sha256,
        "pretrained vectors": hashlib.sha256(vectors.matrix.tobytes()).hexdigest()
        if vectors
        else None,
    }


def _export(network: "keras.Model", prepared: Prepared) -> "TrainedModel":
    """Writes the network as ONNX, in memory."""
    from gatewise.training.network.build import exported_parameters
    from gatewise.training.onnx_export.keras_to_onnx import to_onnx
    from gatewise.training.trained_model import TrainedModel

    rows = prepared.corpus.rows
    return TrainedModel(
        lowered=to_onnx(network, prepared.config.network),
        tokenizer=prepared.tokenizer,
        labels=rows.labels,
        multi_label=rows.multi_label,
        shape=prepared.blueprint.shape,
        config=prepared.config,
        parameters=exported_parameters(network),
        corpus_sha256=prepared.corpus.train_sha256,
    )


def _decide(
    model: "TrainedModel", prepared: Prepared, report: Callable[[str], None]
) -> tuple["TrainedModel", _Decisions]:
    """Chooses the temperature and then the thresholds, on the validation rows."""
    config, validation = prepared.config, prepared.corpus.validation
    calibration = rejection = None
    if config.training.calibration:
        calibration = decision_rules.calibration(model.classifier(), validation)
        if calibration.temperature != 1:
            model = model.divided_by(calibration.temperature)
    if model.multi_label:
        thresholds = decision_rules.label_thresholds(model.classifier(), validation)
        model = replace(model, thresholds=thresholds)
    elif config.reject.is_wanted:
        rejection = decision_rules.rejection(model.classifier(), validation, config.reject)
        model = replace(model, reject=rejection.settings())
        if not rejection.reached:
            report(
                f"reject.target_precision={rejection.target_precision}: no threshold reaches it on "
                f"the validation rows; {rejection.chosen.threshold:.4g} comes nearest"
            )
    return model, _Decisions(calibration, rejection)


def _evaluate(learnt: _Learnt, corpus: EncodedCorpus) -> _Evaluation:
    """Evaluates the classifiers that serve the model, in every precision, and times them."""
    served, validated = learnt.served, learnt.validated
    review = ErrorAnalyzer.of(served)
    validation = evaluate(validated, corpus.validation, None if corpus.test else review.add)
    test = evaluate(served, corpus.test, review.add) if corpus.test else None
    texts = list(islice(chain.from_iterable(corpus.rows.validation.texts()), _TIMED_TEXTS))
    measured, classifier = (
        (learnt.model, served) if corpus.test else (learnt.first_model, validated)
    )
    models = [model_benchmark.measure(classifier, test or validation, texts)]
    for precision in PRECISIONS[1:]:
        smaller = measured.classifier(precision)
        report = evaluate(smaller, corpus.test or corpus.validation)
        models.append(model_benchmark.measure(smaller, report, texts))
    return _Evaluation(validation, test, review.result(), tuple(models))


def _never_predicted(evaluation: _Evaluation, config: Config) -> list[CorpusFinding]:
    """The labels that the finished model predicts for none of the rows it was reviewed on."""
    labels, part = evaluation.reviewed.labels, "test" if evaluation.test else "validation"
    return corpus_check.never_predicted(
        {each.label: each.hits + each.wrong for each in labels},
        {each.label: each.hits + each.missed for each in labels},
        part,
        config,
    )


def _compare(
    taught: Taught,
    rows: Rows,
    config: Config,
    prepared: Prepared,
    learnt: _Learnt,
    evaluation: _Evaluation,
    space: Workspace,
    on_progress: OnProgress,
) -> Comparison:
    """The teacher beside the network that it taught, and beside the network without a teacher.

    `rows` and `config` are those that the run was started with.
    """
    untaught = _untaught(rows, config, space, on_progress) if config.teacher.untaught else None
    student = _compared(learnt, evaluation.validation, evaluation.test)
    found = comparison.compare(taught.labeller, prepared.corpus, student, untaught, learnt.served)
    if found.warning:
        on_progress(Finding(found.warning))
    return found


def _untaught(
    rows: Rows, config: Config, space: Workspace, on_progress: OnProgress
) -> ComparedModel:
    """Trains the network without the teacher, as a run of its own would."""

    def progress(event: Progress | Finding) -> None:
        if isinstance(event, Progress):
            on_progress(Progress(event.step, event.steps, stage="fitting without the teacher"))

    inner = Workspace(space.data / UNTAUGHT)
    inner.data.mkdir(parents=True)
    # Its bad rows are those of the run.
    prepared = prepare(rows, config.without_teacher(), CountBadRows(), inner.data)
    learnt = _learn(prepared, inner, progress, lambda _: None, resume=False)
    corpus = prepared.corpus
    validation = evaluate(learnt.validated, corpus.validation)
    return _compared(
        learnt, validation, evaluate(learnt.served, corpus.test) if corpus.test else None
    )


def _compared(learnt: _Learnt, validation: Report, test: Report | None) -> ComparedModel:
    return ComparedModel(
        bytes=len(learnt.served.artifact.model),
        validation=Scores.of(validation),
        test=Scores.of(test) if test else None,
    )


def _metrics(
    model: "TrainedModel", prepared: Prepared, fitted: Fitted, evaluation: _Evaluation
) -> RunMetrics:
    """The metrics of the run."""
    corpus = prepared.corpus
    return RunMetrics(
        rows=len(corpus.rows.train),
        refit_rows=len(corpus.rows.train) + len(corpus.validation)
        if prepared.config.training.refit
        else None,
        labels=len(corpus.rows.labels),
        tokens=prepared.blueprint.shape.vocab_size,
        parameters=model.parameters,
        coverage=corpus.validation.coverage(prepared.tokenizer),
        fitted=fitted,
        validation=evaluation.validation,
        test=evaluation.test,
    )


def _baselines(prepared: Prepared, train: StoredRows) -> Baselines:
    corpus = prepared.corpus
    learnt = [train]
    if prepared.config.training.refit and corpus.test:
        # As the model that classifies the test rows.
        learnt.append(corpus.rows.validation)
    return baselines.measure(
        learnt,
        corpus.test or corpus.validation,
        corpus.rows.labels,
        multi_label=corpus.rows.multi_label,
    )


def _report_contents(
    model: "TrainedModel",
    prepared: Prepared,
    run: RunMetrics,
    decisions: _Decisions,
    evaluation: _Evaluation,
) -> ReportContents:
    """What metrics, report and model card are made from."""
    rows, planned = prepared.corpus.rows, prepared.blueprint
    return ReportContents(
        run=run,
        config=prepared.config,
        manifest=model.manifest(),
        reviewed=evaluation.reviewed,
        part="test" if evaluation.test else "validation",
        layers=parameters.parameters(prepared.config.network, planned.shape),
        calibration=decisions.calibration,
        rejection=decisions.rejection,
        models=evaluation.models,
        duplicates=rows.duplicates,
        copies=rows.copies,
        vectors=planned.vectors,
    )
