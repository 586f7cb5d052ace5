"""Texts without labels: read, without those that are known, and without those unlike the corpus."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from gatewise.training.config.config import Config
from gatewise.vocab.corpus.bad_row_policy import BadRows
from gatewise.vocab.corpus.corpus_reader import texts_of
from gatewise.vocab.corpus.record_stream import open_records

_UNLIKE_SHARE = 0.02
"""Share of the corpus's own texts that are less like the others than the limit allows."""

_MAX_COMPARED = 10_000
"""Training texts that a text is compared with."""

_WINDOW = 1024


@dataclass(frozen=True)
class UnlabelledCounts:
    """What became of the unlabelled texts.

    Attributes:
        read: Texts read.
        known: Texts that occur twice, or in the corpus.
        unlike: Texts unlike those of the corpus.
        without_label: Texts that no teacher gives a label.
        used: The others.
    """

    read: int = 0
    known: int = 0
    unlike: int = 0
    without_label: int = 0
    used: int = 0

    def __str__(self) -> str:
        without = self.without_label
        refused = f", {without:,} got no label and are left out" if without else ""
        return (
            f"{self.read:,} unlabelled texts: {self.used:,} are used, {self.known:,} are known "
            f"already and left out, {self.unlike:,} are unlike those of the corpus and left out"
            f"{refused}"
        )


def read_texts(config: Config, bad_rows: BadRows) -> Iterator[str]:
    """The texts of the files that `teacher.unlabelled` names, as far as a model reads them.

    Raises:
        CorpusError: If a file cannot be read.
        BadRowsError: If a row is bad and the policy is to stop.
    """
    limit = config.tokens.text_limit()
    for path in config.teacher.unlabelled:
        records = open_records(path, options=config.corpus.read_options())
        texts = texts_of(records, bad_rows=bad_rows, text_column=config.corpus.text_column)
        yield from (limit.cut(text) for text in texts)


class Likeness:
    """How like the training texts a text is: its similarity to the nearest of them.

    A text is unlike them if 98 of 100 training and validation texts are more like the other
    training texts (out-of-distribution detection by nearest neighbours, Sun et al., 2022,
    https://arxiv.org/abs/2204.06507).
    """

    def __init__(
        self,
        vectors: Callable[[Sequence[str]], Any],
        train: Sequence[str],
        validation: Sequence[str],
    ) -> None:
        """Takes texts of the corpus.

        Args:
            vectors: Gives unit vectors of texts, `(texts, width)`, by their meaning, or None: texts
                are then compared by their spelling, the TF-IDF of their n-grams of characters.
            train: Training texts.
            validation: Validation texts.
        """
        own = vectors(train)
        if own is None:
            spelling = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), dtype=np.float32)
            vectors = spelling.fit(train).transform
            own = vectors(train)
        self._vectors, self._train = vectors, own[:: -(-own.shape[0] // _MAX_COMPARED)]
        usual = [self._nearest(self._train, others=True), self._nearest(vectors(validation))]
        self._limit = float(np.quantile(np.concatenate(usual), _UNLIKE_SHARE))

    def is_like(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Which of some texts are like the training texts."""
        return np.asarray(self._nearest(self._vectors(texts)) >= self._limit)

    def _nearest(self, vectors: Any, *, others: bool = False) -> NDArray[np.float64]:
        """The similarity of each text to the nearest training text; if `others`, but itself."""
        found = np.empty(vectors.shape[0])
        for start in range(0, len(found), _WINDOW):
            products = vectors[start : start + _WINDOW] @ self._train.T
            if not isinstance(products, np.ndarray):
                products = products.toarray()
            if others:
                rows = np.arange(len(products))
                products[rows, start + rows] = -1
            found[start : start + _WINDOW] = products.max(axis=1)
        return found
