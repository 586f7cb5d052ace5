"""Texts to vectors of unit length, by an encoder: tokens, batches of similar length, pooling.

Batches are read on a thread for each core, each by operations of one thread: no sum depends on the
number of cores.
"""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from gatewise.training.network.sentence_encoder import OnnxEncoder, encode_texts
from gatewise.training.network.vector_files import VectorsError
from gatewise.training.teacher.encoder_folder import EncoderFolder
from gatewise.training.teacher.teacher import TeacherError
from gatewise.training.teacher.word_neighbours import neighbours
from gatewise.vocab.errors import first_line

BATCH = 32
"""Texts of a batch."""


class Weights(Protocol):
    """The weights of an encoder, loaded."""

    per_token: bool

    def run(self, inputs: dict[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """The state of each token, or the vector of each text."""

    def word_vectors(self) -> NDArray[np.float32] | None:
        """The vector of each token before the first layer; None if it is unknown."""


class TextEncoder:
    """An encoder, loaded.

    Attributes:
        width: Numbers of a vector.
    """

    def __init__(self, folder: EncoderFolder, weights: Weights | None = None) -> None:
        """Loads the weights of the folder, unless others of the same inputs are given."""
        self._folder = folder
        self.weights = weights or _weights(folder)
        self.width = self._probe()

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of some texts, of unit length, `(texts, width)`."""
        outputs = self.outputs(texts)
        norms = np.linalg.norm(outputs, axis=1, keepdims=True)
        return np.asarray(outputs / np.maximum(norms, 1e-12))

    def similar_words(self, words: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        """Words whose vectors are near, before the encoder's first layer; none if it has none."""
        vectors = self.weights.word_vectors()
        return {} if vectors is None else neighbours(self._folder.tokenizer, vectors, words)

    def outputs(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """What the weights give for some texts, pooled over their tokens, `(texts, width)`."""
        encodings = encode_texts(self._folder.path, self._folder.tokenizer, texts)
        found = np.empty((len(texts), self.width), dtype=np.float32)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            batches = similar_lengths(encodings)
            outputs = pool.map(lambda rows: self._pooled([encodings[row] for row in rows]), batches)
            for rows, of_batch in zip(batches, outputs, strict=True):
                found[rows] = of_batch
        if not np.isfinite(found).all():
            raise TeacherError(f"{self._folder.path}: the encoder's vectors are not finite")
        return found

    def _pooled(self, encodings: list[Encoding]) -> NDArray[np.float32]:
        inputs = padded(encodings, self._folder.pad_id)
        states = self.weights.run(inputs)
        if not self.weights.per_token:
            return states
        if self._folder.pooling == "cls":
            return states[:, 0]
        mask = inputs["attention_mask"][:, :, None].astype(np.float32)
        if self._folder.pooling == "max":
            highest: NDArray[np.float32] = np.where(mask > 0, states, -np.inf).max(axis=1)
            return np.where(np.isfinite(highest), highest, 0)
        total: NDArray[np.float32] = (states * mask).sum(axis=1) / np.maximum(mask.sum(axis=1), 1)
        return total

    def _probe(self) -> int:
        """Reads the largest token id, so that weights which do not fit fail at once."""
        largest = self._folder.tokenizer.get_vocab_size() - 1
        ids = np.array([[0, largest]], dtype=np.int64)
        inputs = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        try:
            return self.weights.run(inputs).shape[-1]
        except (VectorsError, IndexError, RuntimeError) as error:
            reason = first_line(error).removeprefix(f"{self._folder.path}: ")
            raise TeacherError(
                f"{self._folder.path}: the weights do not fit the tokenizer, whose largest id is "
                f"{largest:,}: {reason}"
            ) from None


def _weights(folder: EncoderFolder) -> Weights:
    if folder.onnx:
        return OnnxEncoder(folder.path)
    from gatewise.training.teacher.torch_encoder import TorchEncoder

    return TorchEncoder(folder)


def padded(encodings: Sequence[Encoding], pad_id: int) -> dict[str, NDArray[np.int64]]:
    """The inputs of an encoder for a batch, each `(texts, tokens)`."""
    longest = max(len(encoding.ids) for encoding in encodings)
    mask, types = np.zeros((2, len(encodings), max(longest, 1)), dtype=np.int64)
    ids = np.full_like(mask, pad_id)
    for row, encoding in enumerate(encodings):
        length = len(encoding.ids)
        ids[row, :length], types[row, :length] = encoding.ids, encoding.type_ids
        mask[row, :length] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


def similar_lengths(
    encodings: Sequence[Encoding], order: Iterable[int] | None = None
) -> list[list[int]]:
    """Batches of texts of similar length, which need little padding, the shortest first.

    Args:
        encodings: The tokens of all texts.
        order: The places of those in the batches, in the order of those of one length; all of
            them by default.
    """
    places = sorted(
        range(len(encodings)) if order is None else order,
        key=lambda place: len(encodings[place].ids),
    )
    return [places[start : start + BATCH] for start in range(0, len(places), BATCH)]
