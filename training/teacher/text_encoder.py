"""Texts to vectors of unit length, by an encoder: tokens, batches of similar length, pooling.

Batches are read on a thread for each core, each by operations of one thread: no sum depends on the
number of cores.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from gatewise.service.model.onnx_session import first_line
from gatewise.training.teacher.encoder_folder import EncoderFolder
from gatewise.training.teacher.teacher import TeacherError

_BATCH = 32


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

    def __init__(self, folder: EncoderFolder) -> None:
        self._folder = folder
        self.weights = _weights(folder)
        self.width = self._probe()

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of some texts, of unit length, `(texts, width)`."""
        encodings = self._encoded(texts)
        found = np.empty((len(texts), self.width), dtype=np.float32)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            batches = list(_batches(encodings))
            vectors = pool.map(lambda rows: self._pooled([encodings[row] for row in rows]), batches)
            for rows, of_batch in zip(batches, vectors, strict=True):
                found[rows] = of_batch
        if not np.isfinite(found).all():
            raise TeacherError(f"{self._folder.path}: the encoder's vectors are not finite")
        return found

    def _encoded(self, texts: Sequence[str]) -> list[Encoding]:
        try:
            return self._folder.tokenizer.encode_batch(list(texts))
        except Exception as error:  # the Rust side raises Exception itself
            raise TeacherError(
                f"{self._folder.path}: the tokenizer cannot encode a text: {first_line(error)}"
            ) from None

    def _pooled(self, encodings: list[Encoding]) -> NDArray[np.float32]:
        longest = max(len(encoding.ids) for encoding in encodings)
        mask, types = np.zeros((2, len(encodings), max(longest, 1)), dtype=np.int64)
        ids = np.full_like(mask, self._folder.pad_id)
        for row, encoding in enumerate(encodings):
            length = len(encoding.ids)
            ids[row, :length], types[row, :length] = encoding.ids, encoding.type_ids
            mask[row, :length] = 1
        output = self.weights.run(
            {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        )
        if self.weights.per_token:
            output = self._pool(output, mask[:, :, None].astype(np.float32))
        norms = np.linalg.norm(output, axis=1, keepdims=True)
        found: NDArray[np.float32] = output / np.maximum(norms, 1e-12)
        return found

    def _pool(self, states: NDArray[np.float32], mask: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._folder.pooling == "cls":
            return states[:, 0]
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
        except (TeacherError, IndexError, RuntimeError) as error:
            reason = first_line(error).removeprefix(f"{self._folder.path}: ")
            raise TeacherError(
                f"{self._folder.path}: the weights do not fit the tokenizer, whose largest id is "
                f"{largest:,}: {reason}"
            ) from None


def _weights(folder: EncoderFolder) -> Weights:
    if folder.onnx:
        from gatewise.training.teacher.onnx_encoder import OnnxEncoder

        return OnnxEncoder(folder)
    from gatewise.training.teacher.torch_encoder import TorchEncoder

    return TorchEncoder(folder)


def _batches(encodings: Sequence[Encoding]) -> Iterator[list[int]]:
    """Rows of similar length, which need little padding."""
    order = sorted(range(len(encodings)), key=lambda row: len(encodings[row].ids))
    for start in range(0, len(order), _BATCH):
        yield order[start : start + _BATCH]
