"""The cascade: the linear path alone classifies the texts that it is sure of, the network the rest.

It is sure of a text if its best label has the probability that was chosen on validation rows, so
that its labels are nearly always those of the network. Which of the two classifies a text depends
on that text alone.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gatewise.service.model.linear_path import LinearPath
from gatewise.service.model.model_folder import Artifact
from gatewise.service.model.scores import apply, reached
from gatewise.vocab.errors import ArgumentError
from gatewise.vocab.tokenizer.encoding import Encoded, Ragged

Probabilities = NDArray[np.float32]


class PaddedLogits(NamedTuple):
    """The logits of some texts, and what they took."""

    values: NDArray[np.float32]  # shape `(texts, classes)`
    padding: int  # padding tokens of the network's batches
    linear: int = 0  # texts that the linear path alone classified


class NoCascadeError(ArgumentError):
    """A cascade is asked of a model that has none."""


class Cascade:
    """The cascade of a model; safe to use from several threads.

    Args:
        artifact: The model.
        path: Its linear path; None if it has none by itself.
        network: The logits of texts by the whole network.

    Raises:
        NoCascadeError: The model has no cascade.
    """

    def __init__(
        self,
        artifact: Artifact,
        path: LinearPath | None,
        network: Callable[[Ragged], PaddedLogits],
    ) -> None:
        settings = artifact.config.gatewise.cascade
        if settings is None or path is None:
            raise NoCascadeError(f"cascade: {_obstacle(artifact)}", option="cascade")
        self._settings, self._path, self._network = settings, path, network

    def probabilities(self, texts: Ragged) -> Probabilities:
        """The probability of each label, float32, `(texts, classes)`, as either gives it."""
        return apply("softmax", self.padded_logits(texts).values)

    def padded_logits(self, encoded: Sequence[Encoded] | Ragged) -> PaddedLogits:
        """The logits as either gives them; those of the linear path are calibrated."""
        texts = encoded if isinstance(encoded, Ragged) else Ragged.of(encoded)
        logits = calibrated(self._path.logits(texts), self._settings.temperature)
        best = apply("softmax", logits).max(axis=1, initial=0)
        unsure = ~reached(best, self._settings.threshold)
        if not unsure.any():
            return PaddedLogits(logits, 0, len(logits))
        network = self._network(texts.only(unsure))
        logits[unsure] = network.values
        return PaddedLogits(logits, network.padding, len(logits) - len(network.values))


def calibrated(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """The linear path's logits, whose softmax is then its probability of each label."""
    divided: NDArray[np.float32] = logits / np.float32(temperature)
    return divided


def _obstacle(artifact: Artifact) -> str:
    """Why a model has no cascade, and what to do."""
    if artifact.config.gatewise.cascade and artifact.precision != "fp32":
        return f"it was chosen for the network in fp32, not in {artifact.precision}"
    if artifact.config.task == "regression":
        return "it is for models that predict labels; this one predicts numbers"
    if artifact.config.multi_label:
        return "it is for models that give each text exactly one label; this one gives several"
    if not artifact.config.gatewise.network.ngrams:
        return "the network has no linear path: train it with network.ngrams=auto"
    return (
        "the model has none, for want of validation rows on which it agrees with the network: "
        "train it with 1,000 of them or more, or do without"
    )
