"""The model card: what a model is, in the folder's own README, for whoever opens it.

Knows how to put a run's figures into words; computes none.
"""

from gatewise.training.config.config import Config
from gatewise.training.evaluation.calibration import Calibration
from gatewise.training.evaluation.evaluate import Report
from gatewise.training.evaluation.rejection import Rejection
from gatewise.training.report.markdown import as_code, listed
from gatewise.training.run_metrics import RunMetrics
from gatewise.vocab.corpus.labels import Labels

_METRICS = {"macro_f1": "macro-F1", "micro_f1": "micro-F1"}


def metric_in_words(metric: str) -> str:
    """What people call a metric that settings name.

    >>> metric_in_words("macro_f1"), metric_in_words("loss")
    ('macro-F1', 'loss')
    """
    return _METRICS.get(metric, metric)


def sentence(run: RunMetrics, config: Config) -> str:
    """What the model is, in one sentence."""
    network, tokens = config.network, config.tokens
    plural = "layer" if network.layers == 1 else "layers"
    answer = "any of" if run.validation.multi_label else "one of"
    unit = {"ngram": "n-gram"}.get(tokens.unit, tokens.unit)
    return (
        f"A {network.direction} {network.cell.upper()} network of {network.layers} {plural} with "
        f"{network.units} units, which reads up to {tokens.max_length} {unit} tokens of a text, "
        f"has {run.tokens:,} in its dictionary and gives {answer} {run.labels:,} labels; trained "
        f"on {run.rows:,} texts."
    )


def model_card(
    run: RunMetrics,
    labels: Labels,
    config: Config,
    calibration: Calibration | None = None,
    rejection: Rejection | None = None,
) -> str:
    """The card as Markdown, with the metadata that model hubs read at its head.

    Args:
        run: The figures of the run.
        labels: The labels.
        config: Every setting.
        calibration: The temperature of the model and what it did; None without.
        rejection: From which probability on a label is given; None if it always is.
    """
    reports = [("validation", run.validation)] + ([("test", run.test)] if run.test else [])
    best = run.fitted.best
    metric = metric_in_words(run.fitted.metric)
    several = run.validation.multi_label
    return f"""---
library_name: gatewise
pipeline_tag: text-classification
---

# Text classifier with {len(labels)} labels

Labels: {listed(labels.names)}.

{sentence(run, config)} {run.parameters:,} parameters.

{_figures(reports)}

{_ACCURACY_OF_SEVERAL if several else ""}The dictionary knows {run.coverage.share:.1%} of the
tokens of the validation texts. The weights are those of epoch {best.number} of
{len(run.fitted.epochs)}, the best by validation {metric} ({best.metric:.4f}).
{_trust(run, calibration)}{_rejection(run, rejection)}
`report.html` shows how it learnt and where it errs; open it in a browser.

```python
import gatewise

classifier = gatewise.load("path/to/this/folder")
classifier.predict(["a text"])
```

Inputs of `onnx/model.onnx`: `input_ids` and `attention_mask`, int64, `[batch, sequence]`, from
`tokenizer.json`. Output: `logits`, float, `[batch, {len(labels)}]`, in the order of `id2label` in
`config.json`; {_SEVERAL if several else _ONE} `manifest.json` holds
the digest of every file.
"""


_ONE = "softmax makes them probabilities."
_SEVERAL = (
    "the sigmoid makes them probabilities, and a text is given each label whose\n"
    "probability reaches its threshold in `gatewise.thresholds` there."
)
_ACCURACY_OF_SEVERAL = (
    "Accuracy is the share of texts given all their labels and no other; a label is given from its"
    "\nown threshold on, chosen on the validation rows.\n\n"
)


def _rejection(run: RunMetrics, rejection: Rejection | None) -> str:
    rows, report = ("test", run.test) if run.test else ("validation", run.validation)
    if not rejection:
        return ""
    told = (
        f"\n\nA text whose best label has a probability below {rejection.chosen.threshold:.4f} is "
        f"given {as_code(rejection.label)}\ninstead: {report.answered:.1%} of the {rows} rows are "
        f"given a label, which is right for {report.accuracy_answered:.1%} of those"
    )
    if report.out_of_scope_recall is not None:
        told += (
            f", and\n{report.out_of_scope_recall:.1%} of the {report.out_of_scope_rows:,} rows out "
            "of scope are given none"
        )
    return f"{told}. A row that has a label and is given none\ncounts as wrong in the accuracy.\n"


def _trust(run: RunMetrics, calibration: Calibration | None) -> str:
    rows, report = ("test", run.test) if run.test else ("validation", run.validation)
    told = (
        f"The probabilities are off by {report.ece:.1%} in the mean on the {rows} rows (expected "
        "calibration error)"
    )
    if not calibration:
        return f"{told}."
    return (
        f"{told}; calibration\nwith temperature {calibration.temperature:.3g} took that from "
        f"{calibration.ece_before:.1%} to {calibration.ece:.1%} on the validation rows."
    )


def _figures(reports: list[tuple[str, Report]]) -> str:
    several = reports[0][1].multi_label
    heads = ["rows", "accuracy", "macro-F1", *(["micro-F1"] if several else []), "log loss"]
    lines = [[*heads, "number of rows"], ["---"] * (len(heads) + 1)]
    for name, report in reports:
        shares = [report.accuracy, report.macro_f1]
        shares += [report.micro_f1] if report.micro_f1 is not None else []
        figures = [f"{share:.4f}" for share in (*shares, report.log_loss)]
        lines.append([name, *figures, str(report.rows)])
    return "\n".join(f"|{'|'.join(f' {cell} ' for cell in line)}|" for line in lines)
