"""A model as bytes, to send it to other machines: a zip of the files that the manifest lists.

The receiver reads it as any zip of a model folder, and checks every digest again.
"""

import hashlib
import io
import tempfile
import zipfile
from pathlib import Path

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.errors import ModelFolderError
from gatewise.service.model.folder_reader import open_files
from gatewise.service.model.model_documents import Precision
from gatewise.service.model.model_folder import MAX_MANIFEST_BYTES


def pack_model(model: Path, classifier: Classifier) -> bytes:
    """Packs a model.

    Args:
        model: The folder, or a zip of one.
        classifier: The same model, loaded.

    Raises:
        ModelFolderError: It cannot be read, or has changed since it was loaded.
    """
    files = open_files(model)
    loaded = classifier.artifact
    manifest = files.read(loaded.folder.manifest.name, MAX_MANIFEST_BYTES)
    if hashlib.sha256(manifest).hexdigest() != loaded.sha256:
        raise ModelFolderError(f"{model}: the model was changed while it was read; try again")
    contents = io.BytesIO()
    with zipfile.ZipFile(contents, "w") as archive:
        archive.writestr(loaded.folder.manifest.name, manifest)
        for name, entry in loaded.manifest.files.items():
            archive.writestr(name, files.read(name, entry.bytes))
    return contents.getvalue()


def unpack_model(contents: bytes, precision: Precision) -> Classifier:
    """Loads a packed model.

    Args:
        contents: The bytes that `pack_model` returned.
        precision: Which of the networks.

    Raises:
        ModelFolderError: The bytes are damaged.
    """
    # After loading, the file is not needed any more.
    with tempfile.NamedTemporaryFile(prefix="gatewise-", suffix=".zip") as file:
        file.write(contents)
        file.flush()
        return Classifier.load(Path(file.name), precision=precision)
