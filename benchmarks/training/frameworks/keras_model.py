"""The network in Keras as it is usually written: masks, padded batches, `model.fit`.

Nothing of Gatewise is imported, which would turn oneDNN off.
"""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from benchmarks.training.frameworks.shared import (
    EncodedTexts,
    EpochTimer,
    Recipe,
    TrainingRun,
    batches_by_length,
)


class _EpochCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Times each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs = EpochTimer()

    def on_epoch_begin(self, *_: object) -> None:
        self._running = self.epochs.epoch()
        self._running.__enter__()

    def on_epoch_end(self, *_: object) -> None:
        self._running.__exit__(None, None, None)


def fit(recipe: Recipe, train: EncodedTexts, test: EncodedTexts) -> TrainingRun:
    """Batches in random order, padded to their longest text."""
    ids = tf.RaggedTensor.from_row_lengths(
        np.concatenate(train.ids).astype(np.int32), train.lengths
    )
    texts = tf.data.Dataset.from_tensor_slices((ids, train.targets))
    texts = texts.shuffle(len(train), seed=recipe.seed)
    dense = texts.map(lambda ids, target: (tf.reshape(ids, [-1]), target))
    batches = dense.padded_batch(recipe.batch_size, padded_shapes=([None], []))
    return _fit(recipe, batches.prefetch(tf.data.AUTOTUNE), test)


def fit_by_length(recipe: Recipe, train: EncodedTexts, test: EncodedTexts) -> TrainingRun:
    """Batches of texts of similar length."""
    epochs = iter(range(recipe.epochs + 1))

    def elements():  # type: ignore[no-untyped-def]  # a generator of arrays
        seed = recipe.seed * 1000 + next(epochs)
        for rows in batches_by_length(train, recipe.batch_size, seed):
            ids = keras.utils.pad_sequences(train.texts(rows), padding="post")
            yield ids, train.targets[rows]

    signature = (tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None,), tf.int32))
    batches = tf.data.Dataset.from_generator(elements, output_signature=signature)
    count = -(-len(train) // recipe.batch_size)
    batches = batches.apply(tf.data.experimental.assert_cardinality(count))
    return _fit(recipe, batches.prefetch(tf.data.AUTOTUNE), test)


def network(recipe: Recipe) -> keras.Model:
    """Token ids, zero at padding, to logits."""
    layer = keras.layers.LSTM if recipe.cell == "lstm" else keras.layers.GRU
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            keras.layers.Embedding(recipe.vocab_size, recipe.embedding_size, mask_zero=True),
            keras.layers.Bidirectional(layer(recipe.units)),
            keras.layers.Dropout(recipe.dropout),
            keras.layers.Dense(recipe.classes),
        ]
    )


def _fit(recipe: Recipe, batches: tf.data.Dataset, test: EncodedTexts) -> TrainingRun:
    keras.utils.set_random_seed(recipe.seed)
    model = network(recipe)
    model.compile(
        optimizer=keras.optimizers.AdamW(recipe.learning_rate, weight_decay=recipe.weight_decay),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    callback = _EpochCallback()
    model.fit(batches, epochs=recipe.epochs, verbose=0, callbacks=[callback])
    right = 0
    for rows in test.batches(256):
        ids = keras.utils.pad_sequences(test.texts(rows), padding="post")
        logits = model.predict_on_batch(ids)
        right += int((logits.argmax(axis=1) == test.targets[rows]).sum())
    return callback.epochs.run(right / len(test), model.count_params())
