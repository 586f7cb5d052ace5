"""Pretrained vectors as initial values of the embedding, from a file or a sentence encoder.

The vectors are reduced to the width of the embedding and rescaled. Tokens without a vector start
from small random numbers. Does not import TensorFlow, so that a broken file is refused at once.

A word of a file is matched to the token that equals it. A token without such a word takes the
first word that equals it after the tokenizer's normalization, such as lower-casing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from gatewise.training.network import sentence_encoder, vector_files
from gatewise.training.network.vector_files import VectorsError
from gatewise.vocab.tokenizer.tokenizer import SPECIAL_TOKENS

__all__ = ["Vectors", "VectorsError", "load"]

_STANDARD_DEVIATION = 0.3
"""Of the rescaled vectors: sums of 64 such inputs neither vanish nor saturate gates."""

_RANDOM_BOUND = 0.05
"""Bound of the random vectors of tokens without one, as in Keras's embedding initializer."""


@dataclass(frozen=True)
class Vectors:
    """Initial values of an embedding.

    Attributes:
        matrix: A row for each id, float32 `(vocab, size)`.
        found: Number of tokens with a pretrained vector.
        of: Number of tokens in the vocabulary, without special tokens.
    """

    matrix: NDArray[np.float32]
    found: int
    of: int

    @property
    def share(self) -> float:
        """Share of the tokens with a pretrained vector."""
        return self.found / self.of if self.of else 0.0

    def as_dict(self) -> dict[str, int]:
        """How many tokens have a pretrained vector, as a JSON object."""
        return {"found": self.found, "of": self.of}


def load(
    path: Path, tokenizer: Tokenizer, size: int, seed: int, texts: Iterable[str] = ()
) -> Vectors:
    """Loads the vectors of a vocabulary's tokens.

    Args:
        path: A text file of word vectors, or a folder with a sentence encoder.
        tokenizer: The tokenizer.
        size: Width of the embedding.
        seed: Seed of the random vectors of tokens without a pretrained one.
        texts: The training texts, which only a sentence encoder reads.

    Raises:
        VectorsError: If the file or folder cannot be used, or its vectors are narrower than
            `size`.
    """
    entries = tokenizer.get_vocab()
    surfaces = {
        id_: surface(token) for token, id_ in entries.items() if token not in SPECIAL_TOKENS
    }
    if len(surfaces) < 2:
        raise VectorsError(
            "network.vectors: expected a vocabulary of at least two tokens, received "
            f"{len(surfaces)}: train without vectors, or on more texts"
        )
    vocab_size = max(entries.values()) + 1
    if path.is_dir():
        found = sentence_encoder.encode(path, surfaces, vocab_size, tokenizer, texts)
    elif path.is_file():
        found = vector_files.read(path, surfaces, vocab_size, _normalization(tokenizer))
    else:
        raise VectorsError(f"network.vectors: {path}: no such file or folder")
    vectors = found.matrix[found.known]
    if len(vectors) < 2:
        raise VectorsError(
            f"{path}: {len(vectors)} of the vocabulary's {len(surfaces):,} tokens have a vector in "
            "it: expected vectors for the words of this corpus, in its language and case"
        )
    random = np.random.default_rng(seed).uniform(-_RANDOM_BOUND, _RANDOM_BOUND, (vocab_size, size))
    matrix: NDArray[np.float32] = random.astype(np.float32)
    matrix[found.known] = _rescale(_reduce_width(vectors, size, path))
    return Vectors(matrix, found=len(vectors), of=len(surfaces))


def surface(token: str) -> str:
    """The text of a token, without the markers of words and of pieces of words.

    >>> surface("##ing"), surface(" of  the "), surface("▁the"), surface("#")
    ('ing', 'of the', 'the', '#')
    """
    bare = " ".join(token.removeprefix("##").replace("▁", " ").split())
    return bare or token


def _normalization(tokenizer: Tokenizer) -> Callable[[str], str] | None:
    normalizer = tokenizer.normalizer
    # The normalizer of some tokenizers adds markers of words.
    return None if normalizer is None else lambda text: surface(normalizer.normalize_str(text))


def _reduce_width(vectors: NDArray[np.float32], size: int, path: Path) -> NDArray[np.float32]:
    """Reduces vectors to the embedding's width by their principal components."""
    count, width = vectors.shape
    if width < size:
        raise VectorsError(
            f"{path}: expected vectors of at least network.embedding_size={size} numbers, received "
            f"{width}: set network.embedding_size={width}"
        )
    if width == size:
        return vectors
    from sklearn.decomposition import PCA  # noqa: PLC0415  # takes a second to import
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    # There are at most as many components as words; the remaining columns stay zero.
    components = min(size, count)
    # An exact solver that also fixes the sign of each component, so the result is reproducible.
    analysis = PCA(components, svd_solver="covariance_eigh")
    reduced = np.zeros((count, size), dtype=np.float32)
    with threadpool_limits(1):  # the order of sums depends on the number of threads
        reduced[:, :components] = analysis.fit_transform(vectors.astype(np.float64))
    return reduced


def _rescale(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    deviation = float(vectors.std())
    return vectors * np.float32(_STANDARD_DEVIATION / deviation) if deviation else vectors
