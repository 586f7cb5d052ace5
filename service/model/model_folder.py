"""The model folder: which files are in it, how it is written, and how it is read and verified.

The layout is the one of Hugging Face text-classification repositories, so that other runtimes
load the folder as it is; `manifest.json`, with a SHA-256 of every other file, is Gatewise's own.
Knows nothing of how a model was trained nor of how it is run: the model is bytes here.
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

from gatewise.service.model.errors import ModelFolderError
from gatewise.service.model.folder_reader import (
    MOST_BYTES,
    Files,
    MissingError,
    TooLargeError,
    files_at,
    read_file,
)
from gatewise.service.model.model_config import (
    PRECISIONS,
    Manifest,
    ManifestFile,
    ModelConfig,
    ModelFolder,
    Precision,
)
from gatewise.service.model.onnx_validation import validate_folder
from gatewise.vocab.corpus.labels import Labels
from gatewise.vocab.errors import TokenizerError
from gatewise.vocab.tokenizer.tokenizer import CLS, PAD, UNKNOWN, parse_tokenizer
from pydantic import BaseModel, ValidationError
from tokenizers import Tokenizer

_Document = TypeVar("_Document", bound=BaseModel)

# What is read into objects takes many times its bytes. A million tokens, which are the most that
# can be trained, take up to 100 MB.
MOST_MANIFEST_BYTES = 2**20
_MOST_BYTES_OF = {"config.json": 2**24, "tokenizer.json": 2**27}


@dataclass(frozen=True)
class Artifact:
    """A model folder that was read and verified.

    Attributes:
        folder: Where it was read from.
        config: What `config.json` says.
        manifest: What `manifest.json` says.
        tokenizer: The dictionary.
        labels: The classes in the order of the model's outputs.
        precision: How the weights of the model are stored.
        model: The serialized ONNX model.
        sha256: The digest of `manifest.json`, which holds those of all other files.
        step: The serialized model that reads one token at a time; None if the folder has none.
    """

    folder: ModelFolder
    config: ModelConfig
    manifest: Manifest
    tokenizer: Tokenizer
    labels: Labels
    precision: Precision
    model: bytes
    sha256: str
    step: bytes | None = None

    @property
    def model_file(self) -> Path:
        """Where the model was read from."""
        return self.folder.model_in(self.precision)


def read_model_folder(path: str | Path, precision: Precision | None = None) -> Artifact:
    """Reads a model folder, or a zip of one, every file of it checked against the manifest.

    The bytes that were checked are the bytes that are used: no file is opened twice. Whatever is
    told to a library afterwards was looked at before: the dictionary by
    `gatewise.vocab.tokenizer.tokenizer`, the networks here.

    Args:
        path: The folder.
        precision: Which of the folder's models; None for the most exact one.

    Raises:
        ModelFolderError: If the folder is missing, damaged, foreign, of a newer format, or holds
            what Gatewise would not have written, or has no model in this precision.
    """
    files = files_at(Path(path))
    folder = ModelFolder(files.path)
    try:
        contents = files.read(folder.manifest.name, MOST_MANIFEST_BYTES)
    except MissingError:
        raise ModelFolderError(
            f"{folder.path}: not a Gatewise model folder: it holds no {folder.manifest.name}"
        ) from None
    manifest = _parse(Manifest, folder.manifest, contents)
    digest = hashlib.sha256(contents).hexdigest()
    return artifact_of(folder, manifest, _verified(files, manifest), precision, sha256=digest)


def artifact_of(
    folder: ModelFolder,
    manifest: Manifest,
    documents: Mapping[str, bytes],
    precision: Precision | None = None,
    *,
    sha256: str = "",
) -> Artifact:
    """Checks the contents of a model folder, which need not be on disk.

    Args:
        folder: The folder, for messages.
        manifest: Its manifest.
        documents: The contents of its other files, by their names in it.
        precision: Which of its models; None for the most exact one.
        sha256: The digest of its `manifest.json`; empty if that is not written yet.

    Raises:
        ModelFolderError: If they are not what Gatewise would have written, or there is no model in
            this precision.
    """
    precision = precision or _most_exact(folder, documents)
    model = folder.model_in(precision)
    for required in (folder.config, folder.tokenizer, model):
        if folder.name_of(required) not in documents:
            raise ModelFolderError(
                f"{folder.manifest}: {folder.name_of(required)} is not among the listed files"
            )
    config = _parse(ModelConfig, folder.config, documents[folder.name_of(folder.config)])
    try:
        tokenizer = parse_tokenizer(documents[folder.name_of(folder.tokenizer)])
    except TokenizerError as error:
        raise ModelFolderError(f"{folder.tokenizer}: {error}") from None
    size = tokenizer.get_vocab_size()  # the ids are 0, 1, 2, … by the recipe
    if size != config.vocab_size:
        raise ModelFolderError(
            f"{folder.tokenizer}: expected {config.vocab_size} tokens by config.json, found {size}"
        )
    validate_folder.check(folder, documents, manifest, config)
    return Artifact(
        folder=folder,
        config=config,
        manifest=manifest,
        tokenizer=tokenizer,
        labels=Labels(config.label_names()),
        precision=precision,
        model=documents[folder.name_of(model)],
        sha256=sha256,
        step=documents.get(folder.name_of(folder.step)),
    )


def _most_exact(folder: ModelFolder, names: Container[str]) -> Precision:
    held = (one for one in PRECISIONS if folder.name_of(folder.model_in(one)) in names)
    return next(held, PRECISIONS[0])


def check_target(path: str | Path) -> None:
    """Checks, before any work is done, that a model folder may be written at a path.

    Raises:
        ModelFolderError: If something stands there that is not an earlier model folder.
    """
    target = Path(path).resolve()
    if target == Path.cwd() or target.is_mount():
        raise ModelFolderError(
            f"{path}: expected a folder that can be replaced, but it is the current one or a "
            "mount: name a folder inside it"
        )
    parent = next(folder for folder in target.parents if folder.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)):
        raise ModelFolderError(f"{path}: cannot be written: no folder can be made in {parent}")
    if not target.exists():
        return
    if not target.is_dir():
        raise ModelFolderError(f"{path}: expected a folder to write to, but it is a file")
    if not os.access(target, os.W_OK | os.X_OK):
        raise ModelFolderError(f"{path}: cannot be written: the folder is read-only")
    if stranger := _stranger_in(ModelFolder(target)):
        raise ModelFolderError(
            f"{path}: the folder holds {stranger}, which is not part of a model folder, so it is "
            "not overwritten: name another one or empty it"
        )


@contextmanager
def write_model_folder(path: str | Path) -> Iterator[ModelFolder]:
    """A temporary folder that takes its place at `path` when the block ends without an error.

    An earlier model folder at `path` is replaced only then; after an error nothing is left.

    Raises:
        ModelFolderError: If the place is taken or cannot be written to.
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


def _stranger_in(folder: ModelFolder) -> str | None:
    """A file in a folder that no earlier run wrote there, if there is one."""
    files = {folder.name_of(file) for file in folder.path.rglob("*") if not file.is_dir()}
    known: set[str] = set()
    with suppress(ModelFolderError, ValidationError):
        manifest = Manifest.model_validate_json(read_file(folder.manifest, MOST_MANIFEST_BYTES))
        known = {*manifest.files, folder.manifest.name}
    return min(files - known, default=None)


def replace_folder(target: Path, new: Path, old: Path) -> None:
    """Puts a new folder at `target`; what is there moves to `old`, and back after an error."""
    if not target.exists():
        new.rename(target)
        return
    target.rename(old)
    try:
        new.rename(target)
    except BaseException:
        old.rename(target)
        raise


def write_json(path: Path, document: object) -> None:
    """Writes JSON that a person can read and that is the same for the same document."""
    path.write_bytes(json_bytes(document))


def json_bytes(document: object) -> bytes:
    """The contents of a JSON file as `write_json` writes it."""
    return (json.dumps(document, ensure_ascii=False, indent=2) + "\n").encode()


def tokenizer_config(config: ModelConfig) -> dict[str, object]:
    """`tokenizer_config.json`: what Hugging Face's tokenizer classes need beside the dictionary."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config.max_position_embeddings,
        "pad_token": PAD,
        "unk_token": UNKNOWN,
        "cls_token": CLS,
        "padding_side": "right",
        # The side that is cut off; nothing here stands for keeping both ends.
        "truncation_side": "left" if config.gatewise.tokens.keep == "tail" else "right",
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
    }


def seal_model_folder(folder: ModelFolder, manifest: Manifest) -> None:
    """Writes `manifest.json`: what is given, with the digest of every file that stands there."""
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
        where = ".".join(_shown(str(part)) for part in first["loc"]) or "the document"
        message = _shown(first["msg"].removeprefix("Value error, "))
        raise ModelFolderError(f"{path}: {where}: {message}") from None
    return parsed


def _shown(text: str) -> str:
    """What a document says, cut where it is long and escaped where it does not show."""
    short = text if len(text) <= 300 else f"{text[:300]}…"
    return short if short.isprintable() else ascii(short)


def _verified(files: Files, manifest: Manifest) -> dict[str, bytes]:
    """The contents of every file that the manifest lists."""
    total = sum(entry.bytes for entry in manifest.files.values())
    if total > MOST_BYTES:
        raise ModelFolderError(
            f"{files.path}: expected files of at most {MOST_BYTES:,} bytes together, the manifest "
            f"lists {total:,}"
        )
    contents = {}
    for name, entry in manifest.files.items():
        most = _MOST_BYTES_OF.get(name, MOST_BYTES)
        if entry.bytes > most:
            raise TooLargeError(files.path / name, most, entry.bytes)
        contents[name] = _verified_file(files, name, entry)
    return contents


def _verified_file(files: Files, name: str, entry: ManifestFile) -> bytes:
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
