"""A teacher that is a Gatewise model of the same labels, such as a larger one."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gatewise.service.model.classifier import Classifier
from gatewise.training.teacher.encoder_folder import license_of
from gatewise.training.teacher.teacher import Teacher, TeacherCard, TeacherError
from gatewise.vocab.corpus.labels import Labels


class GatewiseModel(Teacher):
    """Its vectors are its probabilities."""

    def __init__(self, path: Path, labels: Labels, *, multi_label: bool) -> None:
        """Loads a model.

        Args:
            path: Its folder, or a zip of one.
            labels: The labels of the corpus, which it must have.
            multi_label: Whether a text may have several.

        Raises:
            ModelFolderError: If the folder cannot be used.
            TeacherError: If its labels or its task are others.
        """
        self._classifier = Classifier.load(path)
        loaded = self._classifier.artifact
        loaded.require_texts()
        _check_labels(path, self._classifier, labels, multi_label=multi_label)
        self.width = len(labels)
        self.fingerprint = loaded.manifest.files[loaded.folder.name_of(loaded.model_file)].sha256
        self.card = TeacherCard(
            name=path.resolve().name,
            kind="Gatewise model",
            bytes=len(loaded.model),
            license=license_of(path),
        )

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The probability of each label for some texts."""
        return self._classifier.probabilities(self._classifier.encode(texts))

    def probabilities(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """The same, in the precision of targets."""
        wide = vectors.astype(np.float64)
        if self._classifier.multi_label:
            return wide
        return np.asarray(wide / wide.sum(axis=1, keepdims=True))


def is_gatewise_model(path: Path) -> bool:
    """Whether a path is a Gatewise model folder, or a zip, as far as its files tell."""
    return path.is_file() or (path / "manifest.json").is_file()


def _check_labels(path: Path, model: Classifier, labels: Labels, *, multi_label: bool) -> None:
    if model.multi_label != multi_label:
        several, one = "any number of labels a text", "one label a text"
        received, expected = (several, one) if model.multi_label else (one, several)
        raise TeacherError(
            f"{path}: expected a teacher with {expected}, received one with {received}"
        )
    if unknown := sorted(set(model.classes_) - set(labels.names)):
        raise TeacherError(
            f"{path}: expected a teacher of the corpus's {len(labels)} labels, received one with "
            f"{unknown[0]!r}, which no row of the corpus has"
        )
    if lacking := sorted(set(labels.names) - set(model.classes_)):
        raise TeacherError(
            f"{path}: expected a teacher of the corpus's {len(labels)} labels, received one "
            f"without {lacking[0]!r}"
        )
