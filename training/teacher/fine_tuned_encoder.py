"""A teacher of an encoder that was trained on the rows of the corpus; see `fine_tuning`."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gatewise.training.teacher.encoder_folder import EncoderFolder
from gatewise.training.teacher.targets import probabilities_of
from gatewise.training.teacher.text_encoder import TextEncoder, Weights


class FineTunedEncoder:
    """See `gatewise.training.teacher.teacher.Teacher`; its vectors are its logits."""

    has_space = False

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
        self._folder, self._multi_label = folder, multi_label
        self._encoder = TextEncoder(folder, weights)
        self.fingerprint, self.width = fingerprint, self._encoder.width
        self.card = replace(folder.card, kind="encoder, fine-tuned")

    def learn(self, _: NDArray[np.float32], __: NDArray[np.bool_]) -> None:
        """Nothing: it is a classifier of the labels."""

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The logits of some texts, `(texts, labels)`."""
        return self._encoder.outputs(texts)

    def probabilities(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """The probability of each label."""
        return probabilities_of(vectors, multi_label=self._multi_label)

    def similar_words(self, words: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        """Words whose vectors are near, before the encoder's first layer."""
        return self._encoder.similar_words(words)
