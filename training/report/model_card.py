"""The model card: the README of a model folder, in Markdown."""

import re
from collections.abc import Mapping, Sequence

from gatewise.training.config.config import Config
from gatewise.training.evaluation.baselines import Baselines, NumberBaselines
from gatewise.training.evaluation.calibration import Calibration
from gatewise.training.evaluation.evaluate import Report
from gatewise.training.evaluation.regression import RegressionReport
from gatewise.training.evaluation.rejection import Rejection
from gatewise.training.report.metric_names import metric_name
from gatewise.training.run_metrics import RunMetrics
from gatewise.vocab.corpus.labels import Labels

_MAX_LABELS = 30


def label_list(labels: Sequence[str]) -> str:
    """The first labels as Markdown code, and the number of the others.

    >>> label_list(["a", "b"])
    '`a`, `b`'
    """
    shown = ", ".join(map(as_code, labels[:_MAX_LABELS]))
    return shown if len(labels) <= _MAX_LABELS else f"{shown} and {len(labels) - _MAX_LABELS} more"


def as_code(label: str) -> str:
    """A label as Markdown code on one line, whatever characters it has.

    >>> as_code("a`b")
    '``a`b``'
    """
    shown = " ".join(label.split())
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    padding = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{padding}{shown}{padding}{fence}"


def sentence(run: RunMetrics, config: Config) -> str:
    """The model in one sentence."""
    network, tokens = config.network, config.tokens
    plural = "layer" if network.layers == 1 else "layers"
    answer = f"one of {run.labels:,} labels"
    if isinstance(run.validation, RegressionReport):
        answer = "a number" if run.labels == 1 else f"{run.labels:,} numbers"
    elif run.validation.multi_label:
        answer = f"any of {run.labels:,} labels"
    if tokens.unit == "vector":
        return (
            f"A {network.direction} {network.cell.upper()} network of {network.layers} {plural} "
            f"with {network.units} units, which reads up to {tokens.max_length} steps of a "
            f"sequence of numbers and predicts {answer}; trained on "
            f"{run.refit_rows or run.rows:,} sequences."
        )
    unit = {"ngram": "n-gram"}.get(tokens.unit, tokens.unit)
    windows = "" if tokens.windows == 1 else f"{tokens.windows} windows of "
    return (
        f"A {network.direction} {network.cell.upper()} network of {network.layers} {plural} with "
        f"{network.units} units, which reads up to {windows}{tokens.max_length} {unit} tokens of a "
        f"text, "
        f"has a dictionary of {run.tokens:,} tokens and predicts {answer}; "
        f"trained on {run.refit_rows or run.rows:,} texts."
    )


def model_card(
    run: RunMetrics,
    labels: Labels,
    config: Config,
    calibration: Calibration | None = None,
    rejection: Rejection | None = None,
    examples: Mapping[str, str] | None = None,
) -> str:
    """The card as Markdown, headed by the metadata that model hubs read.

    Args:
        run: The metrics of the run.
        labels: The labels.
        config: Every setting.
        calibration: The temperature and its effect; None without calibration.
        rejection: The threshold below which a text is rejected; None without.
        examples: A training text of each label, by the label; None for none.
    """
    if isinstance(run.validation, RegressionReport):
        return _regression_card(run, labels, config)
    reports = [("validation", run.validation)]
    if isinstance(run.test, Report):
        reports.append(("test", run.test))
    best = run.fitted.best
    metric = metric_name(run.fitted.metric)
    multi_label = run.validation.multi_label
    return f"""---
library_name: gatewise
pipeline_tag: text-classification
{_widget(examples or {})}---

# {_kind(run)} classifier with {len(labels)} labels

Labels: {label_list(labels.names)}.

{sentence(run, config)} {run.parameters:,} parameters.

{_metrics_table(reports)}

{_comparison(run)}
{_examples(examples or {})}\
{_SUBSET_ACCURACY if multi_label else ""}{_coverage(run)}.
The weights are those of epoch {best.number} of
{len(run.fitted.epochs)}, the best by validation {metric} ({best.metric:.4f}){_refit(run)}.
{_calibration(run, calibration)}{_rejection(run, rejection)}{_teacher(run)}
`report.html` shows the learning curves and the mistakes; open it in a browser.

```python
import gatewise

classifier = gatewise.load("path/to/this/folder")
classifier.predict({_example(run)})
```

Inputs of `onnx/model.onnx`: {_inputs(run)}.
Output: `logits`, float, `[batch, {len(labels)}]`, in the order of `id2label` in `config.json`;
{_SIGMOID if multi_label else _SOFTMAX} `manifest.json` holds
the SHA-256 of every file.
{_windows(config)}"""


def _widget(examples: Mapping[str, str]) -> str:
    """The examples as model hubs read them."""
    lines = (
        f"- text: {_in_yaml(text)}\n  example_title: {_in_yaml(label)}\n"
        for label, text in examples.items()
    )
    return "".join(("widget:\n", *lines)) if examples else ""


def _in_yaml(text: str) -> str:
    """A string in YAML's double quotes."""
    escaped = (
        character if character.isprintable() and character not in '"\\' else _escaped(character)
        for character in text
    )
    return f'"{"".join(escaped)}"'


def _escaped(character: str) -> str:
    return f"\\U{ord(character):08X}"


def _examples(examples: Mapping[str, str]) -> str:
    lines = (f"- {as_code(label)}: {as_code(text)}\n" for label, text in examples.items())
    return "".join(("\nTraining texts:\n\n", *lines, "\n")) if examples else ""


def _regression_card(run: RunMetrics, labels: Labels, config: Config) -> str:
    best = run.fitted.best
    lines = []
    for part, report in (("validation", run.validation), ("test", run.test)):
        if isinstance(report, RegressionReport):
            for name, each in report.by_name().items():
                figures = (each.rmse, each.mae, each.r2, each.spearman, each.coverage)
                cells = ("–" if figure is None else f"{figure:.4g}" for figure in figures)
                named = f", {as_code(name)}" if name else ""
                lines.append(f"| {part}{named} | {' | '.join(cells)} | {each.rows} |")
    table = "\n".join(lines)
    several = len(labels) > 1
    found = run.baselines
    baselines = ""
    if isinstance(found, NumberBaselines):
        ridge = (
            f"has {found.linear.rmse:.4g}" if found.linear else f"was not trained: {found.why_not}"
        )
        baselines = (
            f"\nOn the same {found.rows:,} rows, predicting the mean{' of each' * several}, "
            f"{found.shown_mean}, has an RMSE of {found.mean.rmse:.4g};\n"
            f"a ridge regression on {run.linear_features} {ridge}.\n"
        )
    evaluated = run.test or run.validation
    if several and isinstance(evaluated, RegressionReport):
        baselines += (
            f"\nThe model has {evaluated.rmse:.4g}: the RMSE of all numbers together is in "
            "standard deviations of each.\n"
        )
    output = "the number itself; `gatewise.interval` in `config.json` is\nthe interval around it"
    if several:
        output = (
            "the numbers themselves, in the order of\n`id2label` in `config.json`; "
            "`gatewise.interval` there is the interval around each"
        )
    item = _kind(run).lower()
    predicts = ", ".join(map(as_code, labels.names)) if several else "a number"
    return f"""---
library_name: gatewise
pipeline_tag: text-classification
---

# {_kind(run)} regression: {predicts} for each {item}

{sentence(run, config)} {run.parameters:,} parameters.

| rows | RMSE | MAE | R² | Spearman | within the interval | number of rows |
|---|---|---|---|---|---|---|
{table}
{baselines}
{_coverage(run)}. The weights are those of epoch {best.number} of {len(run.fitted.epochs)}, the
best by validation {metric_name(run.fitted.metric)} ({best.metric:.4g}){_refit(run)}.

`report.html` shows the learning curves and the largest errors; open it in a browser.

```python
import gatewise

model = gatewise.load("path/to/this/folder")
model.predict({_example(run)})
```

Inputs of `onnx/model.onnx`: {_inputs(run)}.
Output: `logits`, float, `[batch, {len(labels)}]`, {output}. {_MANIFEST}
{_windows(config)}"""


_MANIFEST = "`manifest.json` holds the SHA-256 of every file."
_SOFTMAX = "softmax turns them into probabilities."
_SIGMOID = (
    "the sigmoid turns them into probabilities, and each label is predicted whose\n"
    "probability reaches its threshold in `gatewise.thresholds` there."
)
_SUBSET_ACCURACY = (
    "Accuracy is the share of texts whose predicted labels are exactly their own. Each label has a"
    "\nthreshold of its own, chosen on the validation rows.\n\n"
)


def _kind(run: RunMetrics) -> str:
    return "Text" if run.tokens else "Sequence"


def _example(run: RunMetrics) -> str:
    return '["a text"]' if run.tokens else "sequences"


def _coverage(run: RunMetrics) -> str:
    if not run.tokens:
        share = f"{run.coverage.share:.1%}"
        return f"Of the numbers of the validation sequences, {share} are not missing"
    return (
        f"The dictionary covers {run.coverage.share:.1%} of the tokens of the validation texts"
        f"{_in_pieces(run)}"
    )


def _inputs(run: RunMetrics) -> str:
    if not run.tokens:
        return (
            "`input_values`, float, `[batch, sequence, features]`, the numbers as\nthey are, NaN "
            "where missing, and `attention_mask`, int64, `[batch, sequence]`, 1 at steps and 0\n"
            "after the end"
        )
    return "`input_ids` and `attention_mask`, int64, `[batch, sequence]`, from `tokenizer.json`"


def _windows(config: Config) -> str:
    tokens = config.tokens
    if tokens.windows == 1:
        return ""
    return f"""
Gatewise classifies up to {tokens.windows} windows of {tokens.max_length} tokens of a text and
averages their logits. Other runtimes, such as Transformers.js, read the first
{tokens.max_length} tokens only: of a longer text they may give another answer.
"""


def _rejection(run: RunMetrics, rejection: Rejection | None) -> str:
    if not rejection:
        return ""
    rows, report = _reported(run)
    text = (
        f"\n\nA text whose best label has a probability below {rejection.chosen.threshold:.4f} is "
        f"answered with\n{as_code(rejection.label)}: {report.answered:.1%} of the {rows} rows get "
        f"a label, and\n{report.accuracy_answered:.1%} of those answers are correct"
    )
    if report.out_of_scope_recall is not None:
        text += (
            f"; {report.out_of_scope_recall:.1%} of the {report.out_of_scope_rows:,} rows out of "
            "scope are rejected"
        )
    return f"{text}.\nA row that has a label and is rejected counts as wrong in the accuracy.\n"


def _teacher(run: RunMetrics) -> str:
    """Who labelled what, and the metrics of teacher and network side by side."""
    if not (run.teaching and run.comparison):
        return ""
    teachers = ", ".join(
        f"{as_code(card.name)} ({card.kind}; licence: {card.license or 'not stated'})"
        for card in run.teaching.teachers
    )
    learnt = f"{run.teaching.rows:,} rows and {run.teaching.copied:,} changed copies of them"
    if run.teaching.unlabelled:
        learnt += f" and {run.teaching.unlabelled.used:,} texts without labels"
    part = run.comparison.part
    lines = [["model", f"{part} accuracy", "macro F1", "bytes"], ["---"] * 4]
    names = {"teacher": "teacher", "student": "this model", "untaught": "the same, not taught"}
    for name, model in run.comparison.models().items():
        scores = model.scores(part)
        size = "unknown" if model.bytes is None else f"{model.bytes:,}"
        figures = [f"{scores.accuracy:.4f}", f"{scores.macro_f1:.4f}", size]
        lines.append([names[name], *figures])
    return (
        f"\n\nIt learned from probabilities that a teacher gave {learnt}: {teachers}.\n\n"
        + "\n".join(f"|{'|'.join(f' {cell} ' for cell in line)}|" for line in lines)
        + "\n"
    )


def _in_pieces(run: RunMetrics) -> str:
    found = run.coverage
    if not found.in_pieces:
        return ""
    return f"; {found.in_pieces / found.tokens:.1%} are other words, read as pieces"


def _refit(run: RunMetrics) -> str:
    if run.refit_rows is None:
        return ""
    return (
        f", of another\ntraining on all {run.refit_rows:,} rows. The validation metrics are those "
        f"of the first\ntraining, on {run.rows:,} rows without the validation rows"
    )


def _calibration(run: RunMetrics, calibration: Calibration | None) -> str:
    rows, report = _reported(run)
    text = f"The expected calibration error on the {rows} rows is {report.ece:.1%}"
    if not calibration:
        return f"{text}."
    return (
        f"{text}; calibration\nwith temperature {calibration.temperature:.3g} took it from "
        f"{calibration.ece_before:.1%} to {calibration.ece:.1%} on the validation rows."
    )


def _reported(run: RunMetrics) -> tuple[str, Report]:
    part, report = ("test", run.test) if run.test else ("validation", run.validation)
    if isinstance(report, RegressionReport):
        raise TypeError("expected a report on labels, received one on numbers")
    return part, report


def _comparison(run: RunMetrics) -> str:
    """The interval of the accuracy, the baselines on the same rows, labels without a row."""
    rows, report = _reported(run)
    low, high = report.accuracy_interval
    text = f"With 95% confidence the accuracy on {rows} rows like these is {low:.4f} to {high:.4f}."
    found = run.baselines
    if isinstance(found, Baselines):
        always = ", ".join(map(as_code, found.majority_labels)) or "no label"
        text += (
            f" On the same\n{found.rows:,} rows, predicting {always} for every text has an "
            f"accuracy of {found.majority:.4f};\na linear SVM on {run.linear_features} "
        )
        if found.linear:
            text += f"has {found.linear.accuracy:.4f}."
        else:
            text += f"was not trained: {found.why_not}."
    if report.labels_without_rows:
        text += (
            f"\nNo {rows} row has these labels, so nothing is known of them: "
            f"{label_list(report.labels_without_rows)}."
        )
    return f"{text}\n"


def _metrics_table(reports: list[tuple[str, Report]]) -> str:
    multi_label = reports[0][1].multi_label
    heads = ["rows", "accuracy", "macro F1", *(["micro F1"] if multi_label else []), "log loss"]
    lines = [[*heads, "number of rows"], ["---"] * (len(heads) + 1)]
    for name, report in reports:
        values = [report.accuracy, report.macro_f1]
        values += [report.micro_f1] if report.micro_f1 is not None else []
        cells = [f"{value:.4f}" for value in (*values, report.log_loss)]
        lines.append([name, *cells, str(report.rows)])
    return "\n".join(f"|{'|'.join(f' {cell} ' for cell in line)}|" for line in lines)
