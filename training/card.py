"""The model card: what a model is, in the folder's own README, for whoever opens it.

Knows how to put a run's figures into words; computes none.
"""

from training.config import Config
from training.evaluate import Report
from training.run import Run
from vocab.labels import Labels

_LABELS_SHOWN = 30


def model_card(run: Run, labels: Labels, config: Config) -> str:
    """The card as Markdown, with the metadata that model hubs read at its head."""
    network, tokens = config.network, config.tokens
    names = ", ".join(f"`{name}`" for name in labels.names[:_LABELS_SHOWN])
    if len(labels) > _LABELS_SHOWN:
        names += f" and {len(labels) - _LABELS_SHOWN} more"
    reports = [("validation", run.validation)] + ([("test", run.test)] if run.test else [])
    figures = "\n".join(_row(name, report) for name, report in reports)
    return f"""---
library_name: gatewise
pipeline_tag: text-classification
---

# Text classifier with {len(labels)} labels

Labels: {names}.

A {network.direction} {network.cell.upper()} network ({network.layers} × {network.units} units,
{run.parameters:,} parameters) over {tokens.unit} tokens ({run.tokens:,} in the dictionary, at most
{tokens.max_length} a text), trained on {run.rows:,} texts by Gatewise.

| rows | accuracy | macro-F1 | log loss | number of rows |
|---|---|---|---|---|
{figures}

The dictionary knows {run.coverage.share:.1%} of the tokens of the validation texts. The weights are
those of epoch {run.fitted.best.number} of {len(run.fitted.epochs)}, the best by validation.

```python
import gatewise

classifier = gatewise.load("path/to/this/folder")
classifier.predict(["a text"])
```

Inputs of `onnx/model.onnx`: `input_ids` and `attention_mask`, int64, `[batch, sequence]`, from
`tokenizer.json`. Output: `logits`, float, `[batch, {len(labels)}]`, in the order of `id2label` in
`config.json`. `manifest.json` holds the digest of every file.
"""


def _row(name: str, report: Report) -> str:
    return (
        f"| {name} | {report.accuracy:.4f} | {report.macro_f1:.4f} | {report.log_loss:.4f} "
        f"| {report.rows} |"
    )
