"""A training run, step by step: corpora in, a model folder out; and the check of its corpora.

Read `train` first; every step after it is a function here, in the order in which they run, or a
module beside this one: `preparation` and `learning`. TensorFlow is imported by the step that builds
the network, so that most mistakes are reported before those seconds.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import PRECISIONS
from gatewise.service.model.model_folder import check_target, write_model_folder
from gatewise.training.config.config import Config
from gatewise.training.data import auto_settings, corpus_check
from gatewise.training.data.corpora import Corpora, Rows, read
from gatewise.training.data.corpus_findings import CorpusCheck, CorpusFinding, refuse
from gatewise.training.data.encoded_corpus import EncodedCorpus
from gatewise.training.data.row_survey import survey
from gatewise.training.data.stored_rows import StoredRows
from gatewise.training.earlier_model import EarlierModel
from gatewise.training.evaluation import baselines, model_benchmark
from gatewise.training.evaluation.baselines import Baselines, NumberBaselines
from gatewise.training.evaluation.error_analysis import ErrorAnalysis, ErrorAnalyzer
from gatewise.training.evaluation.evaluate import Report, evaluate
from gatewise.training.evaluation.model_benchmark import ExportedModel
from gatewise.training.evaluation.regression import (
    RegressionReport,
    ResidualAnalysis,
    ResidualAnalyzer,
    report_on,
)
from gatewise.training.fit.progress import Finding, Fitted, OnProgress, Progress
from gatewise.training.learning import Decisions, Learnt, learn
from gatewise.training.network import parameters
from gatewise.training.preparation import Prepared, prepare
from gatewise.training.report.contents import ReportContents
from gatewise.training.run_metrics import RunMetrics
from gatewise.training.teacher import comparison, labeller, teaching
from gatewise.training.teacher.comparison import ComparedModel, Comparison, Scores
from gatewise.training.teacher.teaching import Taught
from gatewise.training.workspace import (
    TAUGHT_ROWS,
    UNTAUGHT,
    Workspace,
    open_workspace,
    teacher_cache_of,
)
from gatewise.vocab.corpus.bad_row_policy import BadRows, CountBadRows
from gatewise.vocab.errors import CorpusError

if TYPE_CHECKING:
    from gatewise.training.trained_model import TrainedModel

_TIMED_TEXTS = 256


@dataclass(frozen=True)
class _Evaluation:
    """What the classifiers that serve the model do with the validation and test rows."""

    validation: Report | RegressionReport
    test: Report | RegressionReport | None
    reviewed: ErrorAnalysis | ResidualAnalysis
    models: tuple[ExportedModel, ...]


def train(  # noqa: PLR0913 — everything that a run begins with
    corpora: Corpora,
    out: Path,
    config: Config,
    bad_rows: BadRows,
    on_progress: OnProgress,
    *,
    resume: bool = False,
    is_trial: bool = False,
    earlier: EarlierModel | None = None,
    with_report: bool = True,
) -> ReportContents:
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
        earlier: The model that the run starts from; None for a fresh network.
        with_report: Whether the folder has a report and a model card; without, there are no
            baselines, and the exported models are neither compared nor timed.

    Returns:
        The metrics of the run, and what else its report is made from.

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
    config = labeller.check_teachers(config)
    config = earlier.settings(config) if earlier else config
    with open_workspace(out, keep_checkpoint=is_trial) as space:
        rows = read(corpora, config, bad_rows, space.data, earlier.labels if earlier else ())
        if earlier:
            earlier.check_task(rows)
        for note in rows.notes:
            report(note)
        found = survey(rows)
        findings = corpus_check.check_rows(rows, found, config)
        refuse(findings, config)
        check = reported(CorpusCheck(found), findings)
        taught = _teach(rows, config, bad_rows, out, space, on_progress)
        used, settings = (taught.rows, taught.config) if taught else (rows, config)
        prepared = prepare(used, settings, bad_rows, space.data, earlier)
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
        learnt = learn(prepared, space, on_progress, report, resume=resume)
        model = learnt.model
        if prepared.config.training.refit:
            fitted, aside = len(prepared.corpus.rows.train), len(prepared.corpus.validation)
            report(
                f"trained again on all {fitted + aside:,} rows, once everything was chosen on the "
                f"{aside:,} held out: the validation metrics are those of the first training"
            )
        evaluation = _evaluate(learnt, prepared.corpus, with_models=with_report)
        for finding in model_benchmark.accuracy_losses(evaluation.models):
            report(finding)
        check = reported(check, _never_predicted(evaluation, prepared.config))
        run = _metrics(model, prepared, learnt.fitted, evaluation)
        if taught:
            run = replace(run, rows=taught.counts.rows, teaching=taught.counts)
        if earlier:
            run = replace(run, earlier=_earlier(earlier, prepared.corpus, run, report))
        if with_report and not is_trial:
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
            model.write(folder, contents, with_report=with_report)
        return contents


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


def _evaluate(learnt: Learnt, corpus: EncodedCorpus, *, with_models: bool) -> _Evaluation:
    """Evaluates the classifiers that serve the model.

    Args:
        learnt: The model.
        corpus: The rows.
        with_models: Whether every precision is evaluated and timed.
    """
    served, validated = learnt.served, learnt.validated
    review = (
        ErrorAnalyzer.of(served)
        if corpus.rows.scale is None
        else ResidualAnalyzer(
            corpus.rows.labels.names, corpus.rows.scale.deviation, served.coverage_counter
        )
    )
    validation = report_on(validated, corpus.validation, None if corpus.test else review.add)
    test = report_on(served, corpus.test, review.add) if corpus.test else None
    if not with_models:
        return _Evaluation(validation, test, review.result(), ())
    texts = list(islice(chain.from_iterable(corpus.rows.validation.texts()), _TIMED_TEXTS))
    measured, classifier = (
        (learnt.model, served) if corpus.test else (learnt.first_model, validated)
    )
    models = [model_benchmark.measure(classifier, test or validation, texts)]
    for precision in PRECISIONS[1:]:
        smaller = measured.classifier(precision)
        report = report_on(smaller, corpus.test or corpus.validation)
        models.append(model_benchmark.measure(smaller, report, texts))
    return _Evaluation(validation, test, review.result(), tuple(models))


def _earlier(
    earlier: EarlierModel, corpus: EncodedCorpus, run: RunMetrics, report: Callable[[str], None]
) -> ComparedModel:
    """The model that the run started from, on the rows of this run."""
    validation = earlier.evaluate(corpus.validation.rows)
    report(
        f"of the validation rows the earlier model gets {validation.accuracy:.4f} right, the new "
        f"one {_on_labels(run.validation).accuracy:.4f}"
    )
    test = earlier.evaluate(corpus.test.rows) if corpus.test else None
    return _compared(earlier.classifier, validation, test)


def _on_labels(report: Report | RegressionReport) -> Report:
    """A report on labels, which every run with a teacher or an earlier model has."""
    if isinstance(report, RegressionReport):
        raise TypeError("expected a report on labels, received one on numbers")
    return report


def _never_predicted(evaluation: _Evaluation, config: Config) -> list[CorpusFinding]:
    """The labels that the finished model predicts for none of the rows it was reviewed on."""
    if isinstance(evaluation.reviewed, ResidualAnalysis):
        return []
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
    learnt: Learnt,
    evaluation: _Evaluation,
    space: Workspace,
    on_progress: OnProgress,
) -> Comparison:
    """The teacher beside the network that it taught, and beside the network without a teacher.

    `rows` and `config` are those that the run was started with.
    """
    untaught = None
    if config.teacher.untaught:
        untaught = _untaught(rows, config, space, on_progress, prepared.earlier)
    test = _on_labels(evaluation.test) if evaluation.test else None
    student = _compared(learnt.served, _on_labels(evaluation.validation), test)
    found = comparison.compare(taught.labeller, prepared.corpus, student, untaught, learnt.served)
    if found.warning:
        on_progress(Finding(found.warning))
    return found


def _untaught(
    rows: Rows,
    config: Config,
    space: Workspace,
    on_progress: OnProgress,
    earlier: EarlierModel | None,
) -> ComparedModel:
    """Trains the network without the teacher, as a run of its own would."""

    def progress(event: Progress | Finding) -> None:
        if isinstance(event, Progress):
            on_progress(Progress(event.step, event.steps, stage="fitting without the teacher"))

    inner = Workspace(space.data / UNTAUGHT)
    inner.data.mkdir(parents=True)
    # Its bad rows are those of the run.
    prepared = prepare(rows, config.without_teacher(), CountBadRows(), inner.data, earlier)
    learnt = learn(prepared, inner, progress, lambda _: None, resume=False)
    corpus = prepared.corpus
    validation = evaluate(learnt.validated, corpus.validation)
    test = evaluate(learnt.served, corpus.test) if corpus.test else None
    return _compared(learnt.served, validation, test)


def _compared(classifier: Classifier, validation: Report, test: Report | None) -> ComparedModel:
    return ComparedModel(
        bytes=len(classifier.artifact.model),
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


def _baselines(prepared: Prepared, train: StoredRows) -> Baselines | NumberBaselines:
    corpus = prepared.corpus
    learnt = [train]
    if prepared.config.training.refit and corpus.test:
        # As the model that classifies the test rows.
        learnt.append(corpus.rows.validation)
    evaluated = corpus.test or corpus.validation
    if corpus.rows.scale is not None:
        return baselines.measure_numbers(learnt, evaluated, corpus.rows.labels)
    return baselines.measure(
        learnt, evaluated, corpus.rows.labels, multi_label=corpus.rows.multi_label
    )


def _report_contents(
    model: "TrainedModel",
    prepared: Prepared,
    run: RunMetrics,
    decisions: Decisions,
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
        cascade=decisions.cascade,
        models=evaluation.models,
        duplicates=rows.duplicates,
        copies=rows.copies,
        vectors=planned.vectors,
    )
