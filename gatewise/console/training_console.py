"""What training, evaluation, export and inspection print: progress, metrics, model folders."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from gatewise.console.output import print_json, print_plainly, print_progress
from gatewise.printable import printable
from gatewise.training.report.metric_names import metric_name

if TYPE_CHECKING:
    from gatewise.service.model.model_documents import IntervalSettings, RejectSettings
    from gatewise.service.model.model_folder import Artifact
    from gatewise.training.evaluation.baselines import Baselines, NumberBaselines
    from gatewise.training.evaluation.evaluate import Report
    from gatewise.training.evaluation.regression import RegressionReport
    from gatewise.training.fit.progress import OnProgress
    from gatewise.training.fit.progress import Progress as FitProgress
    from gatewise.training.mobile.mobile_export import Exported, ExportStep
    from gatewise.training.run_metrics import RunMetrics
    from gatewise.training.teacher.comparison import Comparison
    from gatewise.vocab.tokenizer.coverage import Coverage

_LABELS_SHOWN = 40


@contextmanager
def fitting_progress() -> Iterator["OnProgress"]:
    """A bar for each stage and a line for each epoch and finding; lines alone without a terminal.

    Without a terminal, the stages of a teacher have a line for each tenth.
    """
    from gatewise.training.fit.progress import FITTING, LABELLING, Finding  # noqa: PLC0415

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(FITTING, total=None, unit="updates")
        tenths = _Tenths()

        def on_progress(progress: "FitProgress | Finding") -> None:
            if isinstance(progress, Finding):
                line: str | None = progress.message
            else:
                if bar.tasks[0].description != progress.stage:
                    bar.reset(task, description=progress.stage, unit=progress.unit)
                bar.update(task, completed=progress.step, total=progress.steps)
                line = epoch_line(progress)
                if progress.stage.startswith(LABELLING) and not console.is_terminal:
                    line = tenths.line(progress)
            if line:
                print_progress(console, line)

        yield on_progress


def is_terminal() -> bool:
    """Whether standard error is a terminal, where a bar can move."""
    return Console(stderr=True).is_terminal


class _Tenths:
    """A line for each tenth of a stage, with the time left."""

    def __init__(self) -> None:
        self._stage, self._tenth, self._start = "", 0, 0.0

    def line(self, progress: "FitProgress") -> str | None:
        """The line at this point of a stage; None between tenths."""
        if progress.stage != self._stage:
            self._stage, self._tenth, self._start = progress.stage, 0, time.monotonic()
        tenth = 10 * progress.step // max(progress.steps, 1)
        if tenth <= self._tenth:
            return None
        self._tenth = tenth
        left = (time.monotonic() - self._start) * (progress.steps / progress.step - 1)
        return (
            f"{progress.stage}: {progress.step:,} of {progress.steps:,} {progress.unit}, "
            f"about {left / 60:.0f} min left"
        )


def epoch_line(progress: "FitProgress") -> str | None:
    """The results of an epoch, if one ended."""
    epoch, metric = progress.epoch, metric_name(progress.metric or "metric")
    if not epoch:
        return None
    shown = "" if metric == "loss" else f", validation {metric} {epoch.metric:.4f}"
    return (
        f"epoch {epoch.number}: loss {epoch.loss:.4f}, validation loss "
        f"{epoch.validation_loss:.4f}{shown}"
    )


def show_run(run: "RunMetrics", out: Path) -> None:
    """Prints the end of a training run: its metrics and where the model is."""
    if run.test:
        show_report(run.test, title="test")
    else:
        show_report(run.validation, title="validation")
    if run.baselines:
        print_plainly(_baselines_line(run.baselines))
    if run.comparison:
        print_plainly(_comparison_line(run.comparison))
    best = run.fitted.best
    dictionary = f"{run.tokens:,} tokens in the dictionary, " if run.tokens else ""
    print_plainly(
        f"{run.labels} labels, {dictionary}{run.parameters:,} parameters; best of "
        f"{len(run.fitted.epochs)} epochs: {best.number} (validation "
        f"{metric_name(run.fitted.metric)} {best.metric:.4f})"
    )
    print_plainly(f"model written to {out}")


def _baselines_line(baselines: "Baselines | NumberBaselines") -> str:
    from gatewise.training.evaluation.baselines import NumberBaselines  # noqa: PLC0415 — likewise

    if isinstance(baselines, NumberBaselines):
        found = f"not trained, because {baselines.why_not}"
        if baselines.linear:
            found = f"RMSE {baselines.linear.rmse:.4g}"
        return (
            f"on the same rows: ridge regression {found}; always the mean {baselines.shown_mean}: "
            f"RMSE {baselines.mean.rmse:.4g}"
        )
    linear = baselines.linear
    found = f"{linear.accuracy:.4f}" if linear else f"not trained, because {baselines.why_not}"
    always = printable(", ".join(baselines.majority_labels) or "no label")
    return f"on the same rows: linear baseline {found}; always {always}: {baselines.majority:.4f}"


def _comparison_line(comparison: "Comparison") -> str:
    """The accuracy of teacher, student and untaught student."""
    names = {"teacher": "teacher", "student": "taught", "untaught": "not taught"}
    found = (
        f"{names[name]} {model.scores(comparison.part).accuracy:.4f}"
        for name, model in comparison.models().items()
    )
    return f"accuracy on the {comparison.part} rows: {', '.join(found)}"


def show_report(
    report: "Report | RegressionReport", *, title: str = "report", as_json: bool = False
) -> None:
    """Prints the metrics of a model over labelled rows."""
    # Needs scikit-learn, which `gatewise inspect` does without.
    from gatewise.training.evaluation.regression import RegressionReport  # noqa: PLC0415

    if as_json:
        print_json(report.as_dict())
        return
    if isinstance(report, RegressionReport):
        print_plainly(f"{title}: {number_metrics(report)}  rows {report.rows}")
        for name, each in (report.targets or {}).items():
            print_plainly(f"  {printable(name)}: {number_metrics(each)}")
        return
    table = Table(title=title, title_justify="left")
    table.add_column("label")
    for name in ("precision", "recall", "F1", "rows"):
        table.add_column(name, justify="right")
    if report.multi_label:
        table.add_column("threshold", justify="right")
    for label in report.labels[:_LABELS_SHOWN]:
        metrics = (f"{value:.4f}" for value in (label.precision, label.recall, label.f1))
        threshold = [] if label.threshold is None else [f"{label.threshold:.4f}"]
        table.add_row(printable(label.label), *metrics, str(label.rows), *threshold)
    for name in report.labels_without_rows[: max(0, _LABELS_SHOWN - len(report.labels))]:
        table.add_row(printable(name), "-", "-", "-", "0")
    labels = len(report.labels) + len(report.labels_without_rows)
    if labels > _LABELS_SHOWN:
        table.add_row(f"… and {labels - _LABELS_SHOWN} more, see --json")
    print_plainly(table)
    if report.unknown_labels:
        rows = sum(report.unknown_labels.values())
        names = _shortened(tuple(report.unknown_labels))
        print_plainly(f"{rows:,} rows with labels that the model lacks count as errors: {names}")
    micro_f1 = "" if report.micro_f1 is None else f"micro F1 {report.micro_f1:.4f}  "
    low, high = report.accuracy_interval
    print_plainly(
        f"{'subset ' if report.multi_label else ''}accuracy {report.accuracy:.4f} "
        f"(95% interval {low:.4f} to {high:.4f})  "
        f"macro F1 {report.macro_f1:.4f}  {micro_f1}log loss {report.log_loss:.4f}  "
        f"rows {report.rows}"
    )
    if report.answered is not None and report.accuracy_answered is not None:
        out_of_scope = ""
        if report.out_of_scope_recall is not None:
            out_of_scope = (
                f"  out of scope recall {report.out_of_scope_recall:.4f}  "
                f"out of scope rows {report.out_of_scope_rows}"
            )
        print_plainly(
            f"answered {report.answered:.4f}  accuracy of answers {report.accuracy_answered:.4f}"
            f"{out_of_scope}"
        )


def number_metrics(report: "RegressionReport") -> str:
    """The metrics of a model that predicts numbers, on one line."""
    unit = " (in standard deviations)" if report.targets else ""
    shown = f"RMSE {report.rmse:.4g}{unit}  MAE {report.mae:.4g}{unit}"
    if report.r2 is not None:
        shown += f"  R² {report.r2:.4f}"
    if report.spearman is not None:
        shown += f"  Spearman {report.spearman:.4f}"
    if report.coverage is not None:
        shown += f"  within the {report.confidence:.0%} interval {report.coverage:.1%}"
    return shown


def show_dictionary(size: int, coverage: "Coverage", out: Path, *, as_json: bool) -> None:
    """Prints the size of a dictionary and its coverage of the corpus."""
    if as_json:
        print_json({"size": size, **asdict(coverage), "share": coverage.share})
        return
    in_pieces = ""
    if coverage.in_pieces:
        in_pieces = f"; {coverage.in_pieces / coverage.tokens:.2%} are read as pieces of words"
    print_plainly(
        f"{size:,} tokens in the dictionary; it covers {coverage.share:.2%} of the "
        f"{coverage.tokens:,} tokens of {coverage.texts:,} texts{in_pieces}"
    )
    print_plainly(f"dictionary written to {out}")


def show_step(step: "ExportStep") -> None:
    """Prints a line for a step of an export, to standard error."""
    measured = "" if step.accuracy is None else f", accuracy {step.accuracy:.4f}"
    if step.rmse is not None:
        measured = f", RMSE {step.rmse:.4g}"
    print_progress(Console(stderr=True), f"{step.size:,} bytes{measured}: {step.what}")


RUNTIME_SIZES = (
    "and onnxruntime: some 14 MB in a page (2.4 MB with Brotli), 32 MB (12 MB zipped) on Android "
    "for 64-bit ARM, less in a reduced build; see docs/mobile.md"
)
"""The last line about what an app carries. Measured for docs/mobile.md."""


def show_exported(exported: "Exported", out: Path, *, as_json: bool) -> None:
    """Prints the steps by which an export made a model smaller, and the files written."""
    if as_json:
        print_json(exported.as_dict())
        return
    last = exported.steps[-1]
    metrics = {"accuracy": last.accuracy, "log loss": last.log_loss, "RMSE": last.rmse}
    names = [name for name, value in metrics.items() if value is not None]
    table = Table("step")
    for name in ("bytes", *names):
        table.add_column(name, justify="right")
    for step in exported.steps:
        shown = [f"{value:.4f}" for value in (step.accuracy, step.log_loss) if value is not None]
        shown += [] if step.rmse is None else [f"{step.rmse:.4g}"]
        table.add_row(step.what, f"{step.size:,}", *shown)
    print_plainly(table)
    limit = "" if exported.limit is None else f" of {exported.limit:,}"
    tokenizer = ", tokenizer.json" if exported.tokens else ""
    parts = f"{exported.parts:,} bytes{limit}: network{tokenizer} and config.json"
    if exported.text_model is not None:
        print_plainly(
            f"an app that gives raw texts carries one file of {exported.text_model:,} bytes{limit}"
        )
        print_plainly(f"one that gives token ids carries {parts}")
    else:
        print_plainly(f"an app carries {parts}")
    if exported.without_text:
        print_plainly(f"no model takes raw texts: {exported.without_text}")
    if exported.without_interval:
        print_plainly(f"the numbers have no interval: {exported.without_interval}")
    print_plainly(RUNTIME_SIZES)
    if not names:
        print_plainly("accuracy was not measured: give rows with --validation")
    print_plainly(f"written to {out} and {exported.archive}")


def show_artifact(artifact: "Artifact", *, as_json: bool) -> None:
    """Prints the contents of a model folder."""
    config, manifest = artifact.config, artifact.manifest
    if as_json:
        print_json(
            {
                "config": config.model_dump(mode="json"),
                "manifest": manifest.model_dump(mode="json"),
            }
        )
        return
    network, tokens = config.gatewise.network, config.gatewise.tokens
    first_layer = (
        f"embedding {network.embedding_size}" if network.input == "embedding" else "one-hot"
    )
    reading = f"{tokens.unit}, {config.vocab_size:,} in the dictionary, "
    if tokens.features:
        first_layer = "numbers"
        reading = f"the steps of sequences, {tokens.features} numbers each, "
    table = Table(show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    rows = {
        "folder": str(artifact.folder.path),
        "task": config.problem_type,
        "labels": _shortened(artifact.labels.names),
        **({"thresholds": _range(config.label_thresholds())} if config.multi_label else {}),
        **({"reject": _rejecting(config.gatewise.reject)} if config.gatewise.reject else {}),
        **({"interval": _interval(config.gatewise.interval)} if config.gatewise.interval else {}),
        "tokens": reading
        + (
            f"at most {tokens.max_length} per text"
            if tokens.windows == 1
            else f"at most {tokens.windows} windows of {tokens.max_length} per text"
        ),
        "network": f"{network.direction} {network.cell}, {network.layers} x {network.units} units, "
        f"{first_layer}, read-out {network.readout}",
        "n-gram path": f"lengths {', '.join(map(str, network.ngrams))}; {network.buckets:,} buckets"
        if network.ngrams
        else "none",
        "parameters": f"{network.parameters:,}",
        "operators": f"opset {manifest.opset}: {', '.join(manifest.operators)}",
        "trained with": ", ".join(f"{name} {v}" for name, v in manifest.versions.items()),
        "seed": str(manifest.seed),
        "corpus": f"SHA-256 {manifest.corpus_sha256}",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    print_plainly(table)
    files = Table("file", "bytes")
    files.add_column("SHA-256", overflow="fold")
    for name, file in manifest.files.items():
        files.add_row(name, f"{file.bytes:,}", file.sha256)
    print_plainly(files)


def _rejecting(reject: "RejectSettings") -> str:
    outside = f"; out of scope is {reject.out_of_scope}" if reject.out_of_scope else ""
    return printable(f"below {reject.threshold:.4f} a text is given: {reject.label}{outside}")


def _interval(interval: "IntervalSettings") -> str:
    half_widths = ", ".join(f"± {width:.4g}" for width in interval.half_widths)
    return f"{half_widths}, with a confidence of {interval.confidence:.0%}"


def _range(numbers: tuple[float, ...]) -> str:
    return f"{min(numbers):.4f} to {max(numbers):.4f}, see --json"


def _shortened(names: tuple[str, ...]) -> str:
    shown = ", ".join(map(printable, names[:_LABELS_SHOWN]))
    return f"{len(names)}: {shown}" + (" …" if len(names) > _LABELS_SHOWN else "")
