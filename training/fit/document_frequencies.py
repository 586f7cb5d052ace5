"""In how many training texts each n-gram is: what the linear path weighs them by.

Counted once, before anything is learnt, from the network's own rows of n-grams.
"""

import keras
import numpy as np
import tensorflow as tf
from gatewise.training.data.examples import Examples
from gatewise.training.fit.dataset import in_order, tensors
from gatewise.training.network.ngrams import NgramLogits

_BATCH = 256


def count_ngrams(model: keras.Model, train: Examples) -> None:
    """Counts the texts that have each n-gram, and has the linear path of a network weigh by it.

    Args:
        model: From `gatewise.training.network.build`; one without a linear path stays as it is.
        train: The training texts.
    """
    paths = [layer for layer in model.layers if isinstance(layer, NgramLogits)]
    if not paths:
        return
    rows_of = model.get_layer("ngram_rows")
    ids = tf.TensorSpec((None, None), tf.int32)
    rows = tf.function(rows_of.call, input_signature=[ids, ids], reduce_retracing=True)
    frequencies = np.zeros(rows_of.table.rows, dtype=np.int64)
    for input_ids, attention_mask, *_ in tensors(train, in_order(train, _BATCH), None):
        # A row is in a text's rows once at most.
        found, texts = np.unique(rows(input_ids, attention_mask).numpy(), return_counts=True)
        frequencies[found] += texts
    frequencies[0] = 0  # the padding's
    paths[0].set_idf(frequencies, len(train))
