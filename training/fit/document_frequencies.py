"""Counts the training texts that contain each n-gram, for the IDF of the linear path."""

import keras
import numpy as np
import tensorflow as tf

from gatewise.training.data.examples import Examples
from gatewise.training.fit.dataset import sequential_batches, tensors
from gatewise.training.network.ngrams import NgramLogits

_BATCH = 256


def count_ngrams(model: keras.Model, train: Examples) -> None:
    """Counts document frequencies and sets the IDF of a network's linear path.

    Args:
        model: From `gatewise.training.network.build`; unchanged if it has no linear path.
        train: The training texts.
    """
    layers = [layer for layer in model.layers if isinstance(layer, NgramLogits)]
    if not layers:
        return
    ngram_rows = model.get_layer("ngram_rows")
    ids = tf.TensorSpec((None, None), tf.int32)
    rows = tf.function(ngram_rows.call, input_signature=[ids, ids], reduce_retracing=True)
    frequencies = np.zeros(ngram_rows.table.rows, dtype=np.int64)
    for input_ids, attention_mask, *_ in tensors(train, sequential_batches(train, _BATCH), None):
        # A text has each row at most once.
        found, texts = np.unique(rows(input_ids, attention_mask).numpy(), return_counts=True)
        frequencies[found] += texts
    frequencies[0] = 0  # padding
    layers[0].set_idf(frequencies, len(train))
