"""The mobile artifact: one folder, and the same as one `.zip`, that an app's author takes away.

The folder is a model folder like any other: the classifier loads it. Owns which files are in it;
what is in them is known to the modules beside this one.
"""

import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import onnx
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import tokenizer_config
from gatewise.service.model.model_folder import (
    ModelFolder,
    check_target,
    seal_model_folder,
    write_json,
    write_model_folder,
)
from gatewise.training.mobile import mobile_card, snippets
from gatewise.training.mobile.ort_format import required_operators
from gatewise.training.mobile.test_vectors import vectors_of
from gatewise.training.mobile.variants import Variant
from gatewise.vocab.atomic_files import atomic_write
from gatewise.vocab.errors import GatewiseError

OPERATORS = "required_operators.config"
VECTORS = "test_vectors.json"
EXAMPLES = "examples"

_OLDEST = (1980, 1, 1, 0, 0, 0)
"""The time that a zip's entries have: the same files give the same zip."""


def zip_of(out: Path) -> Path:
    """Where the zip of a folder stands: beside it."""
    place = out if out.name not in ("", "..") else out.resolve()
    return place.parent / f"{place.name}.zip"


def check_targets(out: Path) -> None:
    """Checks, before any work is done, that folder and zip may be written.

    Raises:
        ModelFolderError: If something stands in the folder's place that is no model folder.
        GatewiseError: If something stands in the zip's place that is no mobile artifact.
    """
    check_target(out)
    place = zip_of(out)
    if not place.exists():
        return
    if place.is_file() and zipfile.is_zipfile(place):
        with zipfile.ZipFile(place) as earlier:
            if f"{place.stem}/manifest.json" in earlier.namelist():
                return
    raise GatewiseError(
        f"{place}: something else than an earlier artifact stands there: move it or name another "
        "folder",
        option="out",
    )


def write(variant: Variant, out: Path, export: Mapping[str, object]) -> None:
    """Writes folder and zip, whole or not at all.

    Args:
        variant: The model.
        out: The folder; the zip has its name and `.zip`.
        export: How the model was made, for `metrics.json`.

    Raises:
        ModelFolderError: If the folder cannot be written.
    """
    with write_model_folder(out) as folder:
        _fill(folder, variant, export)
        classifier = Classifier.load(folder.path)
        write_json(folder.path / VECTORS, asdict(vectors_of(classifier)))
        folder.card.write_text(mobile_card.card(classifier.artifact, export), encoding="utf-8")
        seal_model_folder(folder, classifier.artifact.manifest)
        with atomic_write(zip_of(out)) as archive:
            _zip(folder.path, zip_of(out).stem, archive)


def _fill(folder: ModelFolder, variant: Variant, export: Mapping[str, object]) -> None:
    loaded, text_model = variant.artifact, variant.text_model
    model = folder.model_in(loaded.precision)
    model.write_bytes(loaded.model)
    model.with_suffix(".ort").write_bytes(variant.ort_bytes)
    networks = [onnx.load_from_string(loaded.model)]
    if text_model is not None:
        folder.text_model.write_bytes(text_model.SerializeToString(deterministic=True))
        networks.append(text_model)
    (folder.path / OPERATORS).write_text(required_operators(*networks), encoding="utf-8")
    folder.tokenizer.write_bytes(variant.tokenizer_bytes)
    folder.config.write_bytes(variant.config_bytes)
    write_json(folder.tokenizer_config, tokenizer_config(loaded.config))
    write_json(folder.metrics, {"export": export})
    examples = folder.path / EXAMPLES
    examples.mkdir()
    for name, text in snippets.programs(loaded, with_text=text_model is not None).items():
        (examples / name).write_text(text, encoding="utf-8")
    seal_model_folder(folder, loaded.manifest)


def _zip(folder: Path, name: str, place: Path) -> None:
    """Writes a zip of a folder's files, in a folder of this name."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            inside = f"{name}/{file.relative_to(folder).as_posix()}"
            entry = zipfile.ZipInfo(inside, _OLDEST)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.read_bytes())
