"""A model as one run of bytes, to be sent to other machines and loaded there.

The bytes are a zip of the files that the manifest lists, which `Classifier.load` takes as it takes
a folder: every digest is checked again where it arrives. Knows nothing of how it is sent.
"""

import hashlib
import io
import tempfile
import zipfile
from pathlib import Path

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.errors import ModelFolderError
from gatewise.service.model.folder_reader import files_at
from gatewise.service.model.model_config import Precision
from gatewise.service.model.model_folder import MOST_MANIFEST_BYTES


def packed(model: Path, classifier: Classifier) -> bytes:
    """The files of a model.

    Args:
        model: The folder, or a zip of one.
        classifier: The same, loaded.

    Raises:
        ModelFolderError: If it cannot be read, or is no longer what was loaded.
    """
    files = files_at(model)
    loaded = classifier.artifact
    manifest = files.read(loaded.folder.manifest.name, MOST_MANIFEST_BYTES)
    if hashlib.sha256(manifest).hexdigest() != loaded.sha256:
        raise ModelFolderError(f"{model}: the model was changed while it was read; try again")
    contents = io.BytesIO()
    with zipfile.ZipFile(contents, "w") as parcel:
        parcel.writestr(loaded.folder.manifest.name, manifest)
        for name, entry in loaded.manifest.files.items():
            parcel.writestr(name, files.read(name, entry.bytes))
    return contents.getvalue()


def unpacked(contents: bytes, precision: Precision) -> Classifier:
    """The model of a parcel, verified and ready to answer.

    Args:
        contents: What `packed` has given.
        precision: Which of its models.

    Raises:
        ModelFolderError: If it is damaged.
    """
    # Nothing is read from the file once it is loaded.
    with tempfile.NamedTemporaryFile(prefix="gatewise-", suffix=".zip") as file:
        file.write(contents)
        file.flush()
        return Classifier.load(Path(file.name), precision=precision)
