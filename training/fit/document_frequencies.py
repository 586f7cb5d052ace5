"""The n-grams of the training texts in the linear path, and how many texts contain each."""

from collections.abc import Iterator

import keras
import numpy as np
from numpy.typing import NDArray

from gatewise.training.data.examples import Examples, Targets
from gatewise.training.fit.dataset import sequential_batches, tensors
from gatewise.training.network.ngrams import NgramLogits
from gatewise.training.network.word_splits import WordSplits

_BATCH = 256


def count_ngrams(model: keras.Model, train: Examples, words: WordSplits | None = None) -> None:
    """Counts document frequencies and sets the IDF of a network's linear path.

    A piece of a word occurs only where the dictionary lacks a word, so seldom or never in the
    training texts. Its frequency is that of texts in which every word of a single text is split.

    Args:
        model: From `gatewise.training.network.build`; unchanged if it has no linear path.
        train: The training texts, or windows of them.
        words: The pieces of the dictionary's words; None if it has none.
    """
    layers = [layer for layer in model.layers if isinstance(layer, NgramLogits)]
    if not layers:
        return
    frequencies = np.zeros(layers[0].table.rows, dtype=np.int64)
    for rows, _ in ngram_rows(model, train):
        # A text has each row at most once.
        found, texts = np.unique(rows, return_counts=True)
        frequencies[found] += texts
    frequencies[0] = 0  # padding
    table = layers[0].table
    if words is None or 1 not in table.lengths:
        layers[0].set_idf(frequencies, len(train))
        return
    in_a_single_text = [word for word in words.pieces if frequencies[word] == 1]
    for word in in_a_single_text:
        pieces = {piece for piece in words.pieces[word] if piece in words.piece_ids}
        frequencies[list(pieces)] += 1
    # Two words of one text may have a piece in common.
    frequencies = np.minimum(frequencies, len(train))
    layers[0].set_idf(frequencies, len(train), slice(words.piece_ids.start, words.piece_ids.stop))


def counting_batches(examples: Examples) -> Iterator[NDArray[np.int64]]:
    """The numbers of the texts of each batch of `ngram_rows`."""
    return sequential_batches(examples, _BATCH)


def ngram_rows(
    model: keras.Model, examples: Examples
) -> Iterator[tuple[NDArray[np.int64], Targets]]:
    """The table rows of the texts' n-grams and the texts' targets, in batches of like length.

    Args:
        model: A network with a linear path.
        examples: The texts.

    Yields:
        Row numbers, int64 `(texts, n-grams)`: each once for a text, 0 for padding. And the targets.
    """
    layer = model.get_layer("ngram_rows")
    for input_ids, attention_mask, targets, _ in tensors(
        examples, counting_batches(examples), None
    ):
        yield layer.call(input_ids, attention_mask).numpy(), targets.numpy()
