"""A teacher of an encoder that was trained on the rows of the corpus; see `fine_tuning`."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gatewise.training.teacher.encoder_folder import EncoderFolder
from gatewise.training.teacher.targets import probabilities_of
from gatewise.training.teacher.teacher import Teacher
from gatewise.training.teacher.text_encoder import TextEncoder, Weights


class FineTunedEncoder(TextEncoder, Teacher):
    """Its vectors are its logits."""

    def __init__(
        self, folder: EncoderFolder, weights: Weights, fingerprint: str, *, multi_label: bool
    ) -> None:
        """Takes the trained weights.

        Args:
            folder: The files of the encoder that they were trained from.
            weights: They give the logit of each label.
            fingerprint: Digest of what they depend on.
            multi_label: Whether a text may have several labels.
        """
        super().__init__(folder, weights)
        self._multi_label, self.fingerprint = multi_label, fingerprint
        self.card = replace(folder.card, kind="encoder, fine-tuned")

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The logits of some texts, `(texts, labels)`."""
        return self.outputs(texts)

    def probabilities(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """The probability of each label."""
        return probabilities_of(vectors, multi_label=self._multi_label)
