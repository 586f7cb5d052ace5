"""Pretrained vectors: what each entry of the dictionary starts from, as the embedding wants it.

Vectors come from a text file or from a sentence encoder, are reduced to the embedding's width and
brought to one scale. An entry that has none starts from small random numbers. Knows the dictionary
and no network; does not import TensorFlow, so that a broken file is refused at once.

A word of a file stands for the entry that it equals. An entry without such a word takes the first
word of the file that becomes it by the dictionary's own normalization, such as lower-casing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gatewise.training.network import sentence_encoder, vector_files
from gatewise.training.network.vector_files import VectorsError
from gatewise.vocab.tokenizer.tokenizer import SPECIAL_TOKENS
from numpy.typing import NDArray
from tokenizers import Tokenizer

__all__ = ["Vectors", "VectorsError", "load"]

_DEVIATION = 0.3
"""Standard deviation of what is found: sums of 64 such inputs neither vanish nor saturate gates."""

_RANDOM = 0.05
"""Bound of the numbers of an entry without a vector: as of an embedding that starts from none."""


@dataclass(frozen=True)
class Vectors:
    """Where an embedding starts.

    Attributes:
        matrix: A row for each id, float32 `(vocab, size)`.
        found: Entries of the dictionary that have a vector.
        of: Entries of the dictionary, special tokens left out.
    """

    matrix: NDArray[np.float32]
    found: int
    of: int

    @property
    def share(self) -> float:
        """Share of the entries that have a vector."""
        return self.found / self.of if self.of else 0.0


def load(
    path: Path, tokenizer: Tokenizer, size: int, seed: int, texts: Iterable[str] = ()
) -> Vectors:
    """Finds a vector for every entry of a dictionary that has one.

    Args:
        path: A text file of word vectors, or a folder with a sentence encoder.
        tokenizer: The dictionary.
        size: Width of the embedding.
        seed: Seed of the vectors of entries that have none.
        texts: The training texts, in which a sentence encoder meets the entries; they are read
            only if there is one.

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
            "network.vectors: expected a dictionary of two entries at the least, received "
            f"{len(surfaces)}: leave the vectors out, or give more texts"
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
            f"{path}: {len(vectors)} of the dictionary's {len(surfaces):,} entries have a vector "
            "there: expected vectors for the words of this corpus, in its language and case"
        )
    random = np.random.default_rng(seed).uniform(-_RANDOM, _RANDOM, (vocab_size, size))
    matrix: NDArray[np.float32] = random.astype(np.float32)
    matrix[found.known] = _scaled(_reduced(vectors, size, path))
    return Vectors(matrix, found=len(vectors), of=len(surfaces))


def surface(token: str) -> str:
    """The text that an entry stands for: without the marks of words and of pieces of words.

    >>> surface("##ing"), surface(" of  the "), surface("▁the"), surface("#")
    ('ing', 'of the', 'the', '#')
    """
    bare = " ".join(token.removeprefix("##").replace("▁", " ").split())
    return bare or token


def _normalization(tokenizer: Tokenizer) -> Callable[[str], str] | None:
    normalizer = tokenizer.normalizer
    # Some dictionaries mark words with spaces while they normalize them.
    return None if normalizer is None else lambda text: surface(normalizer.normalize_str(text))


def _reduced(vectors: NDArray[np.float32], size: int, path: Path) -> NDArray[np.float32]:
    """Vectors of the embedding's width: wider ones by their principal components."""
    count, width = vectors.shape
    if width < size:
        raise VectorsError(
            f"{path}: expected vectors of at least network.embedding_size={size} numbers, received "
            f"{width}: set network.embedding_size={width}"
        )
    if width == size:
        return vectors
    from sklearn.decomposition import PCA  # noqa: PLC0415  # a second, needed only here
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    # Fewer words have fewer components; the rest of their width stays zero.
    components = min(size, count)
    # An exact solver, which also fixes each component's sign: the same file, the same numbers.
    analysis = PCA(components, svd_solver="covariance_eigh")
    reduced = np.zeros((count, size), dtype=np.float32)
    with threadpool_limits(1):  # sums would depend on the number of cores
        reduced[:, :components] = analysis.fit_transform(vectors.astype(np.float64))
    return reduced


def _scaled(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    deviation = float(vectors.std())
    return vectors * np.float32(_DEVIATION / deviation) if deviation else vectors
