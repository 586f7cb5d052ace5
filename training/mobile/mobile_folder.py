"""The mobile artifact: a model folder for apps, its README, and the same folder as one `.zip`."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import tokenizer_config
from gatewise.service.model.model_folder import (
    Artifact,
    check_target,
    seal_model_folder,
    write_json,
    write_model_folder,
)
from gatewise.training.mobile import snippets
from gatewise.training.mobile.ort_format import required_operators, to_ort
from gatewise.training.mobile.test_vectors import vectors_of
from gatewise.training.mobile.variants import Variant
from gatewise.training.report.model_card import label_list
from gatewise.vocab.atomic_files import atomic_write
from gatewise.vocab.errors import GatewiseError

_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
"""The time of every entry of a zip: the same files give the same zip."""


def zip_of(out: Path) -> Path:
    """The path of the zip of a folder: the same name and `.zip`."""
    folder = out if out.name not in ("", "..") else out.resolve()
    return folder.parent / f"{folder.name}.zip"


def check_targets(out: Path) -> None:
    """Checks, before any work, that folder and zip may be written.

    Raises:
        ModelFolderError: If the folder's path is taken by anything but a model folder.
        GatewiseError: If the zip's path is taken by anything but a mobile artifact.
    """
    check_target(out)
    path = zip_of(out)
    if not path.exists():
        return
    if path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as earlier:
            if f"{path.stem}/manifest.json" in earlier.namelist():
                return
    raise GatewiseError(
        f"{path}: expected no file or an earlier artifact, found another file: move it, or choose "
        "another output folder",
        option="out",
    )


def write(variant: Variant, out: Path, export: Mapping[str, object]) -> None:
    """Writes folder and zip, completely or not at all; `metrics.json` says how the model was made.

    Raises:
        ModelFolderError: If the folder cannot be written.
    """
    loaded, text_model = variant.artifact, variant.text_model
    with write_model_folder(out) as folder:
        model = folder.model_in(loaded.precision)
        model.write_bytes(loaded.model)
        model.with_suffix(".ort").write_bytes(to_ort(loaded.model))
        networks = [onnx.load_from_string(loaded.model)]
        if text_model is not None:
            folder.text_model.write_bytes(text_model.SerializeToString(deterministic=True))
            networks.append(text_model)
        operators = required_operators(*networks)
        (folder.path / "required_operators.config").write_text(operators, encoding="utf-8")
        folder.config.write_bytes(variant.config_bytes)
        if loaded.dictionary is not None:
            folder.tokenizer.write_bytes(variant.tokenizer_bytes)
            write_json(folder.tokenizer_config, tokenizer_config(loaded.config))
        write_json(folder.metrics, {"export": export})
        write_json(folder.path / "test_vectors.json", vectors_of(Classifier(loaded)))
        with_text = text_model is not None
        (folder.path / "examples").mkdir()
        for name, program in snippets.programs(loaded, with_text=with_text).items():
            (folder.path / "examples" / name).write_text(program, encoding="utf-8")
        folder.card.write_text(_readme(loaded, export, with_text=with_text), encoding="utf-8")
        seal_model_folder(folder, loaded.manifest)
        with atomic_write(zip_of(out)) as archive:
            _zip(folder.path, zip_of(out).stem, archive)


def _zip(folder: Path, name: str, path: Path) -> None:
    """Writes a zip with the files of a folder, in a folder of this name."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            entry = zipfile.ZipInfo(f"{name}/{file.relative_to(folder).as_posix()}", _ZIP_TIME)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)


def _readme(loaded: Artifact, export: Mapping[str, Any], *, with_text: bool) -> str:
    model = loaded.folder.name_of(loaded.model_file)
    ort = loaded.folder.name_of(loaded.model_file.with_suffix(".ort"))
    text_row = ""
    if with_text:
        text_file = loaded.folder.name_of(loaded.folder.text_model)
        text_row = f"| `{text_file}` | texts in, labels and scores out; needs no other file |\n"
    kind, given, read = "Text", "token ids", "texts with the ids and scores"
    tokenizer_row, limit = "| `tokenizer.json` | the tokenizer |\n", "tokens"
    if loaded.dictionary is None:
        kind, given, read = "Sequence", "the numbers of sequences", "sequences with the scores"
        tokenizer_row, limit = "", "steps"
    return f"""---
library_name: gatewise
pipeline_tag: text-classification
---

# {kind} classifier for devices, with {len(loaded.labels)} labels

Labels: {label_list(loaded.labels.names)}.

{_carried(export, loaded)}

| file | contents |
|---|---|
{text_row}| `{model}` | the network for onnxruntime, {given} in, logits out |
| `{ort}` | the same in ORT format, for builds of onnxruntime that do not read ONNX |
| `required_operators.config` | the operators that a reduced build of onnxruntime needs |
{tokenizer_row}| `config.json` | the labels in their order, and the maximum number of {limit} |
| `test_vectors.json` | {read} that a port must give |
| `examples/` | programs in Python, JavaScript, Kotlin and Swift |
| `metrics.json`, `manifest.json` | how the model was made, and the SHA-256 of every file |

`python examples/classify.py` compares the answers of this machine with the test vectors.

## Export steps

{_steps(export)}
"""


def _carried(export: Mapping[str, Any], loaded: Artifact) -> str:
    tokenizer = "" if loaded.dictionary is None else ", the tokenizer"
    parts = f"{export['parts']:,} bytes: the network in ONNX{tokenizer} and `config.json`."
    if export["text_model"] is None:
        return f"Besides onnxruntime, an app carries {parts}"
    return (
        f"Besides onnxruntime, an app carries one file of {export['text_model']:,} bytes, which "
        f"takes texts; or, if it makes token ids itself, {parts}"
    )


def _steps(export: Mapping[str, Any]) -> str:
    steps = export["steps"]
    no_interval = ""
    if export["without_interval"]:
        no_interval = f" The numbers have no interval: {export['without_interval']}."
    if "rmse" in steps[-1]:
        note = f"The RMSE is that of {export['rows']:,} validation rows.{no_interval}"
        head = "| step | bytes | RMSE |\n|---|--:|--:|"
        rows = [f"| {step['what']} | {step['size']:,} | {step['rmse']:.4g} |" for step in steps]
    elif steps[-1]["accuracy"] is None:
        note = (
            "There were no validation rows, so the accuracy of these steps is not known."
            f"{no_interval}"
        )
        head = "| step | bytes |\n|---|--:|"
        rows = [f"| {step['what']} | {step['size']:,} |" for step in steps]
    else:
        note = f"Accuracy and log loss are those of {export['rows']:,} validation rows."
        head = "| step | bytes | accuracy | log loss |\n|---|--:|--:|--:|"
        rows = [
            f"| {step['what']} | {step['size']:,} | {step['accuracy']:.4f} | "
            f"{step['log_loss']:.4f} |"
            for step in steps
        ]
    return "\n".join([note, "", head, *rows])
