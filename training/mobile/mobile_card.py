"""The README of a mobile artifact: what is in it, what it cost to make it small, how it is used.

Puts figures into words; computes none.
"""

from collections.abc import Mapping
from typing import Any

from gatewise.service.model.model_folder import Artifact
from gatewise.training.report.model_card import label_list


def card(loaded: Artifact, export: Mapping[str, Any]) -> str:
    """The README as Markdown, with the metadata that model hubs read at its head.

    Args:
        loaded: The folder, read back.
        export: How the model was made, as `metrics.json` has it.
    """
    model = loaded.folder.name_of(loaded.model_file)
    ort = loaded.folder.name_of(loaded.model_file.with_suffix(".ort"))
    text_file = loaded.folder.name_of(loaded.folder.text_model)
    with_text = text_file in loaded.manifest.files
    text_row = (
        f"| `{text_file}` | texts in, labels and scores out: this file alone is enough |\n"
        if with_text
        else ""
    )
    return f"""---
library_name: gatewise
pipeline_tag: text-classification
---

# Text classifier for devices, with {len(loaded.labels)} labels

Labels: {label_list(loaded.labels.names)}.

An app carries {export["size"]:,} bytes: the network in ONNX, the dictionary and `config.json`.

| file | what |
|---|---|
{text_row}| `{model}` | the network for onnxruntime, token ids in, logits out |
| `{ort}` | the same in ORT format, for a build of onnxruntime that reads no ONNX |
| `required_operators.config` | the operators that a reduced build of onnxruntime needs |
| `tokenizer.json` | the dictionary, and how a text is cut into tokens |
| `config.json` | the labels in their order, and how many tokens are read |
| `test_vectors.json` | texts with the ids and scores that a port must give |
| `examples/` | programs in Python, JavaScript, Kotlin and Swift |
| `metrics.json`, `manifest.json` | how the model was made, and the SHA-256 of every file |

`python examples/classify.py` compares what this machine answers with the test vectors.

## How it became small

{_steps(export)}
"""


def _steps(export: Mapping[str, Any]) -> str:
    steps = export["steps"]
    if steps[-1]["accuracy"] is None:
        told = "No validation rows were given, so the accuracy of these steps is not known."
        head = "| step | bytes |\n|---|--:|"
        rows = [f"| {step['what']} | {step['size']:,} |" for step in steps]
    else:
        told = f"Accuracy and log loss are those of {export['rows']:,} validation rows."
        head = "| step | bytes | accuracy | log loss |\n|---|--:|--:|--:|"
        rows = [
            f"| {step['what']} | {step['size']:,} | {step['accuracy']:.4f} | "
            f"{step['log_loss']:.4f} |"
            for step in steps
        ]
    return "\n".join([told, "", head, *rows])
