"""The model folder: its files, how it is written, and how it is read and verified.

The layout is that of Hugging Face text-classification repositories, so that other runtimes load the
folder as it is; `manifest.json`, with a SHA-256 of every other file, is Gatewise's own.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from tokenizers import Tokenizer

from gatewise.service.model.errors import ModelFolderError, NetworkError
from gatewise.service.model.folder_reader import (
    MAX_BYTES,
    Files,
    MissingError,
    TooLargeError,
    open_files,
    read_file,
)
from gatewise.service.model.model_documents import (
    PRECISIONS,
    Manifest,
    ManifestFile,
    ModelConfig,
    Precision,
)
from gatewise.service.model.onnx_validation.onnx_parser import OPSET
from gatewise.service.model.onnx_validation.operator_allowlist import validate_network
from gatewise.vocab.atomic_files import replace_folder
from gatewise.vocab.corpus.labels import Labels
from gatewise.vocab.errors import ArgumentError, TokenizerError
from gatewise.vocab.tokenizer.tokenizer_json import parse_tokenizer

_Document = TypeVar("_Document", bound=BaseModel)

# A parsed JSON document takes many times its bytes in memory. The largest tokenizer that can be
# trained has a million tokens and takes up to 100 MB.
MAX_MANIFEST_BYTES = 2**20
_MAX_BYTES_OF = {"config.json": 2**24, "tokenizer.json": 2**27}


class ModelFolder:
    """The paths of a model folder; this class is the on-disk format."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Labels, task and Gatewise's own settings.
        self.config = path / "config.json"
        self.tokenizer = path / "tokenizer.json"
        # What Hugging Face's tokenizer classes need in addition to the tokenizer.
        self.tokenizer_config = path / "tokenizer_config.json"
        # The network, with its weights in 32-bit floats, 16-bit floats, and 8-bit integers.
        self.model = path / "onnx" / "model.onnx"
        self.model_fp16 = path / "onnx" / "model_fp16.onnx"
        self.model_quantized = path / "onnx" / "model_quantized.onnx"
        # The network with its tokenizer: texts in, labels and scores out.
        self.text_model = path / "onnx" / "model_text.onnx"
        # The step network, which reads one token at a time; only of forward models.
        self.step = path / "onnx" / "step.onnx"
        # The metrics of the training run, for machines and for people.
        self.metrics = path / "metrics.json"
        self.report = path / "report.html"
        self.card = path / "README.md"
        # The digest of every other file, and how the model was trained.
        self.manifest = path / "manifest.json"

    def model_in(self, precision: Precision) -> Path:
        """The network in a precision."""
        networks = {"fp32": self.model, "fp16": self.model_fp16, "int8": self.model_quantized}
        return networks[precision]

    def name_of(self, file: Path) -> str:
        """A file's name inside the folder, with forward slashes on every system."""
        return file.relative_to(self.path).as_posix()


@dataclass(frozen=True)
class Artifact:
    """The verified contents of a model folder.

    Attributes:
        folder: The paths of its files.
        config: `config.json`.
        manifest: `manifest.json`.
        dictionary: The tokenizer; None if the model reads sequences of numbers.
        labels: The classes in the order of the model's outputs.
        precision: The precision of `model`.
        model: The serialized ONNX model.
        sha256: The digest of `manifest.json`, and so of the whole folder.
        step: The serialized step network; None if the folder has none.
    """

    folder: ModelFolder
    config: ModelConfig
    manifest: Manifest
    dictionary: Tokenizer | None
    labels: Labels
    precision: Precision
    model: bytes
    sha256: str
    step: bytes | None = None

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer; raises as `require_texts` does."""
        return self.require_texts()

    def require_texts(self) -> Tokenizer:
        """Checks that the model reads texts, and gives its tokenizer.

        Raises:
            ArgumentError: It reads sequences of numbers.
        """
        if self.dictionary is None:
            raise ArgumentError(
                f"{self.folder.path}: expected a model of texts, received one of sequences of "
                "numbers"
            )
        return self.dictionary

    @property
    def model_file(self) -> Path:
        """The file that `model` was read from."""
        return self.folder.model_in(self.precision)


def read_model_folder(path: str | Path, precision: Precision | None = None) -> Artifact:
    """Reads a model folder, or a zip of one, and checks every file against the manifest.

    No file is opened twice: the bytes that were checked are the bytes that are used. The tokenizer
    and the networks are validated before a library parses them.

    Args:
        path: The folder.
        precision: Which of the folder's networks; None for the most exact one.

    Raises:
        ModelFolderError: The folder is missing, damaged, foreign, of a newer format, contains
            anything that Gatewise does not write, or has no network of this precision.
    """
    return read_model_files(open_files(Path(path)), precision)


def read_model_files(files: Files, precision: Precision | None = None) -> Artifact:
    """Reads the files of a model, and checks them as `read_model_folder` does."""
    folder = ModelFolder(files.path)
    manifest_bytes, manifest = _read_manifest(files)
    digest = hashlib.sha256(manifest_bytes).hexdigest()
    return artifact_of(folder, manifest, _read_verified(files, manifest), precision, sha256=digest)


def read_contents(files: Files, sha256: str) -> dict[str, bytes]:
    """The bytes of every file of a model, by name, each checked against the manifest.

    Raises:
        ModelFolderError: A file is missing or damaged, or the manifest has another digest.
    """
    manifest_bytes, manifest = _read_manifest(files)
    if hashlib.sha256(manifest_bytes).hexdigest() != sha256:
        raise ModelFolderError(f"{files.path}: the folder was replaced since the model was loaded")
    manifest_name = ModelFolder(files.path).manifest.name
    return {**_read_verified(files, manifest), manifest_name: manifest_bytes}


def _read_manifest(files: Files) -> tuple[bytes, Manifest]:
    path = ModelFolder(files.path).manifest
    try:
        contents = files.read(path.name, MAX_MANIFEST_BYTES)
    except MissingError:
        raise ModelFolderError(
            f"{files.path}: not a Gatewise model folder: it holds no {path.name}"
        ) from None
    return contents, _parse(Manifest, path, contents)


def artifact_of(
    folder: ModelFolder,
    manifest: Manifest,
    contents: Mapping[str, bytes],
    precision: Precision | None = None,
    *,
    sha256: str = "",
) -> Artifact:
    """Checks the contents of a model folder, by their names in it; it need not be on disk.

    Without a precision it takes the most exact model. The SHA-256 is that of `manifest.json`, empty
    if that is not written yet.

    Raises:
        ModelFolderError: If they are not what Gatewise would have written, or there is no model in
            this precision.
    """
    precision = precision or _most_exact(folder, contents)
    model = folder.model_in(precision)
    for required in (folder.config, model):
        _require(folder, required, contents)
    config = _parse(ModelConfig, folder.config, contents[folder.name_of(folder.config)])
    dictionary = None
    if not config.gatewise.tokens.features:
        dictionary = _dictionary(folder, contents, config.vocab_size)
    _validate_networks(folder, contents, manifest, config)
    return Artifact(
        folder=folder,
        config=config,
        manifest=manifest,
        dictionary=dictionary,
        labels=Labels(config.label_names()),
        precision=precision,
        model=contents[folder.name_of(model)],
        sha256=sha256,
        step=contents.get(folder.name_of(folder.step)),
    )


def _require(folder: ModelFolder, file: Path, contents: Container[str]) -> None:
    if folder.name_of(file) not in contents:
        raise ModelFolderError(
            f"{folder.manifest}: {folder.name_of(file)} is not among the listed files"
        )


def _dictionary(folder: ModelFolder, contents: Mapping[str, bytes], vocab_size: int) -> Tokenizer:
    """The tokenizer of a model of texts."""
    _require(folder, folder.tokenizer, contents)
    try:
        tokenizer = parse_tokenizer(contents[folder.name_of(folder.tokenizer)])
    except TokenizerError as error:
        raise ModelFolderError(f"{folder.tokenizer}: {error}") from None
    size = tokenizer.get_vocab_size()  # `parse_tokenizer` requires the ids 0, 1, 2, …
    if size != vocab_size:
        raise ModelFolderError(
            f"{folder.tokenizer}: expected {vocab_size} tokens by config.json, found {size}"
        )
    return tokenizer


def _most_exact(folder: ModelFolder, names: Container[str]) -> Precision:
    present = (each for each in PRECISIONS if folder.name_of(folder.model_in(each)) in names)
    return next(present, PRECISIONS[0])


def _validate_networks(
    folder: ModelFolder, contents: Mapping[str, bytes], manifest: Manifest, config: ModelConfig
) -> None:
    """Validates every network of the folder except the text model, which no classifier loads."""
    if manifest.opset != OPSET:
        raise ModelFolderError(f"{folder.manifest}: expected opset {OPSET}, found {manifest.opset}")
    operators: set[str] = set()
    for name, data in contents.items():
        if name.endswith(folder.model.suffix) and name != folder.name_of(folder.text_model):
            is_step = name == folder.name_of(folder.step)
            try:
                network = validate_network(
                    data,
                    len(config.id2label),
                    is_step=is_step,
                    features=config.gatewise.tokens.features,
                )
            except NetworkError as error:
                raise ModelFolderError(f"{folder.path / name}: {error}") from None
            operators |= network.operators
    if tuple(sorted(operators)) != manifest.operators:
        wrong = min(operators.symmetric_difference(manifest.operators), default="their order")
        raise ModelFolderError(
            f"{folder.manifest}: the listed operators are not those of the networks: see {wrong}"
        )


def check_target(path: str | Path) -> None:
    """Checks, before any work is done, that a model folder can be written at a path.

    Raises:
        ModelFolderError: Something other than an earlier model folder is there.
    """
    target = Path(path).resolve()
    if target == Path.cwd() or target.is_mount():
        raise ModelFolderError(
            f"{path}: expected a folder that can be replaced, but it is the working directory "
            "or a mount point: name a folder inside it"
        )
    parent = next(folder for folder in target.parents if folder.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)):
        raise ModelFolderError(f"{path}: cannot be written: no folder can be created in {parent}")
    if not target.exists():
        return
    if not target.is_dir():
        raise ModelFolderError(f"{path}: expected a folder to write to, but it is a file")
    if not os.access(target, os.W_OK | os.X_OK):
        raise ModelFolderError(f"{path}: cannot be written: the folder is read-only")
    if foreign := _foreign_file(ModelFolder(target)):
        raise ModelFolderError(
            f"{path}: the folder contains {foreign}, which is not part of a model folder, so it is "
            "not overwritten: name another one or empty it"
        )


@contextmanager
def write_model_folder(path: str | Path) -> Iterator[ModelFolder]:
    """Yields a temporary folder, which is moved to `path` when the block ends without an error.

    An earlier model folder at `path` is replaced only then. After an error nothing is left.

    Raises:
        ModelFolderError: The path is taken or cannot be written.
    """
    check_target(path)
    target = Path(path).resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            folder = ModelFolder(staging / "new")
            folder.model.parent.mkdir(parents=True)
            yield folder
            replace_folder(target, folder.path, staging / "old")
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise ModelFolderError(f"{path}: cannot be written: {error.strerror or error}") from error


def _foreign_file(folder: ModelFolder) -> str | None:
    """A file in a folder that is not part of a model folder; None if there is none."""
    files = {folder.name_of(file) for file in folder.path.rglob("*") if not file.is_dir()}
    known: set[str] = set()
    with suppress(ModelFolderError, ValidationError):
        manifest = Manifest.model_validate_json(read_file(folder.manifest, MAX_MANIFEST_BYTES))
        known = {*manifest.files, folder.manifest.name}
    return min(files - known, default=None)


def write_json(path: Path, document: object) -> None:
    """Writes indented JSON, the same bytes for the same document."""
    path.write_bytes(json_bytes(document))


def json_bytes(document: object) -> bytes:
    """The contents of a JSON file as `write_json` writes it."""
    return (json.dumps(document, ensure_ascii=False, indent=2) + "\n").encode()


def seal_model_folder(folder: ModelFolder, manifest: Manifest) -> None:
    """Writes `manifest.json`, with the digest of every other file of the folder."""
    files = {}
    for file in sorted(folder.path.rglob("*")):
        if file.is_file() and file != folder.manifest:
            contents = file.read_bytes()
            files[folder.name_of(file)] = ManifestFile(
                sha256=hashlib.sha256(contents).hexdigest(), bytes=len(contents)
            )
    write_json(folder.manifest, manifest.model_copy(update={"files": files}).model_dump())


def _parse(document: type[_Document], path: Path, contents: bytes) -> _Document:
    try:
        parsed = document.model_validate_json(contents)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(_printable(str(part)) for part in first["loc"]) or "the document"
        message = _printable(first["msg"].removeprefix("Value error, "))
        raise ModelFolderError(f"{path}: {where}: {message}") from None
    return parsed


def _printable(text: str) -> str:
    """A text from a document, truncated and escaped for a message."""
    short = text if len(text) <= 300 else f"{text[:300]}…"
    return short if short.isprintable() else ascii(short)


def _read_verified(files: Files, manifest: Manifest) -> dict[str, bytes]:
    """Reads every file that the manifest lists, and checks its size and digest."""
    total = sum(entry.bytes for entry in manifest.files.values())
    if total > MAX_BYTES:
        raise ModelFolderError(
            f"{files.path}: expected files of at most {MAX_BYTES:,} bytes together, the manifest "
            f"lists {total:,}"
        )
    contents = {}
    for name, entry in manifest.files.items():
        limit = _MAX_BYTES_OF.get(name, MAX_BYTES)
        if entry.bytes > limit:
            raise TooLargeError(files.path / name, limit, entry.bytes)
        contents[name] = _read_verified_file(files, name, entry)
    return contents


def _read_verified_file(files: Files, name: str, entry: ManifestFile) -> bytes:
    path = files.path / name
    try:
        contents = files.read(name, entry.bytes)
        size = len(contents)
    except TooLargeError as error:
        contents, size = b"", error.found
    if size != entry.bytes:
        raise ModelFolderError(
            f"{path}: expected {entry.bytes} bytes by the manifest, found {size}: "
            "the file is damaged or was changed"
        )
    digest = hashlib.sha256(contents).hexdigest()
    if digest != entry.sha256:
        raise ModelFolderError(
            f"{path}: its SHA-256 is {digest[:12]}…, the manifest says {entry.sha256[:12]}…: "
            "the file is damaged or was changed"
        )
    return contents
