"""The network does not depend on padding; its dropout acts in training only."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.network.build import build
from gatewise.training.network.layers import EmbeddingDropout, WordDropout
from gatewise.training.network.shape import Shape
from gatewise.training.network.vectors import Vectors
from gatewise.vocab.tokenizer.tokenizer import CLS_ID, PAD_ID, UNKNOWN_ID

SHAPE = Shape(vocab_size=50, classes=3, ngrams=(1, 2))


@pytest.mark.parametrize(
    ("direction", "readout", "input_"),
    [
        ("forward", "last", "embedding"),
        ("backward", "last", "one_hot"),
        ("bidirectional", "mean", "one_hot"),
        ("bidirectional", "max_mean", "embedding"),
        ("bidirectional", "attention", "embedding"),
    ],
)
def test_padding_changes_nothing(keras_logits, direction, readout, input_):
    config = NetworkConfig(
        direction=direction, readout=readout, input=input_, units=5, layers=2, buckets=11
    )
    model = build(config, SHAPE, seed=1)
    short, long = np.array([2, 7, 8]), np.arange(2, 30)
    alone = keras_logits(model, [short])
    padded = keras_logits(model, [short, long])
    np.testing.assert_allclose(padded[:1], alone, atol=1e-6)


def test_the_untrained_ngram_path_has_no_effect(keras_logits):
    config = NetworkConfig(units=5, buckets=11)
    with_path = build(config, SHAPE, seed=1)
    without = build(config, Shape(50, 3, ()), seed=1)
    ids = [np.array([2, 7, 8, 9])]
    np.testing.assert_array_equal(keras_logits(with_path, ids), keras_logits(without, ids))


def test_the_same_seed_gives_the_same_weights():
    first, again, other = (
        build(NetworkConfig(units=5), SHAPE, seed).get_weights() for seed in (3, 3, 4)
    )
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(first, other, strict=True))


def test_word_dropout_replaces_neither_padding_nor_cls():
    layer = WordDropout(0.5, seed=1)
    ids = np.array([[CLS_ID, *range(3, 50), PAD_ID, PAD_ID]] * 20, dtype=np.int32)
    dropped = keras.ops.convert_to_numpy(layer(ids, training=True))
    assert (dropped[:, 0] == CLS_ID).all()
    assert (dropped[:, -2:] == PAD_ID).all()
    changed = dropped != ids
    assert (dropped[changed] == UNKNOWN_ID).all()
    assert 0.4 < changed[:, 1:-2].mean() < 0.6
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer(ids, training=False)), ids)


DROPOUTS = ["word_dropout", "embedding_dropout", "input_dropout"]
DROPOUTS += ["recurrent_dropout", "weight_drop"]
NO_DROPOUT = {"units": 5, "embedding_size": 6, "buckets": 11, "dropout": 0.0, "word_dropout": 0.0}


def inputs(batch=3, tokens=6):
    ids = np.random.default_rng(0).integers(3, 50, (batch, tokens)).astype(np.int32)
    mask = (np.arange(tokens) < np.arange(tokens, tokens - batch, -1)[:, None]).astype(np.int32)
    return {"input_ids": ids * mask, "attention_mask": mask}


@pytest.mark.parametrize(
    ("dropout", "input_"),
    [*((dropout, "embedding") for dropout in DROPOUTS), ("input_dropout", "one_hot")],
)
def test_the_random_state_of_every_dropout_can_be_restored(dropout, input_):
    config = NetworkConfig(**{**NO_DROPOUT, dropout: 0.5}, input=input_, layers=2)
    model = build(config, SHAPE, seed=1)
    plain = build(NetworkConfig(**NO_DROPOUT, input=input_, layers=2), SHAPE, seed=1)
    batch = inputs()
    np.testing.assert_array_equal(model(batch, training=False), plain(batch, training=False))
    saved = [variable.value.numpy() for variable in model.variables]
    first = model(batch, training=True).numpy()
    second = model(batch, training=True).numpy()
    assert (first != second).any(axis=1).all()
    for variable, value in zip(model.variables, saved, strict=True):
        variable.assign(value)
    np.testing.assert_array_equal(model(batch, training=True), first)


def test_embedding_dropout_drops_a_token_in_the_whole_batch_or_the_whole_text():
    ids = np.tile(np.arange(50), (4, 2))
    layer = EmbeddingDropout(50, batch_rate=0.5, text_rate=0.0, seed=1)
    factors = layer(ids, training=True).numpy()[..., 0]
    np.testing.assert_array_equal(factors, np.tile(factors[:1, :50], (4, 2)))
    assert set(np.unique(factors)) == {0.0, 2.0}
    np.testing.assert_array_equal(layer(ids, training=False), np.ones((4, 100, 1)))
    for vocabulary in (50, 20_000):
        layer = EmbeddingDropout(vocabulary, batch_rate=0.0, text_rate=0.2, seed=1)
        ids = np.tile(np.arange(vocabulary), (2, 2))
        factors = layer(ids, training=True).numpy()[..., 0]
        np.testing.assert_array_equal(factors[:, :vocabulary], factors[:, vocabulary:])
        assert (factors[0] != factors[1]).any()
        np.testing.assert_allclose(np.unique(factors), [0.0, 1.25])
        assert 0.7 < (factors > 0).mean() < 0.9


def test_layers_have_different_seeds():
    config = NetworkConfig(**{**NO_DROPOUT, "recurrent_dropout": 0.5}, layers=3)
    model = build(config, SHAPE, seed=1)
    states = [
        tuple(model.get_layer(f"recurrent_{number}").seed_generator.state.value.numpy())
        for number in range(3)
    ]
    assert len(set(states)) == 3


@pytest.mark.parametrize("train_vectors", [True, False])
def test_an_embedding_starts_from_vectors_and_may_be_frozen(train_vectors, tmp_path):
    config = NetworkConfig(
        **NO_DROPOUT, vectors=tmp_path / "words.vec", train_vectors=train_vectors
    )
    matrix = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    model = build(config, SHAPE, seed=1, vectors=Vectors(matrix, found=40, of=47))
    table = model.get_layer("embedding").weights[0]
    np.testing.assert_array_equal(table.value, matrix)
    trained = {variable.path for variable in model.trainable_variables}
    assert (table.path in trained) == train_vectors
    assert table.path in {variable.path for variable in model.variables}


def test_one_hot_has_no_table_and_no_wide_tensor():
    config = NetworkConfig(**NO_DROPOUT, input="one_hot", ngrams=())
    model = build(config, Shape(100_000, 3, ()), seed=1)
    assert "embedding" not in [layer.name for layer in model.layers]
    specs = {name: tf.TensorSpec((2, 4), tf.int32) for name in ("input_ids", "attention_mask")}
    graph = tf.function(lambda values: model(values, training=False)).get_concrete_function(specs)
    widths = {
        dimension
        for operation in graph.graph.get_operations()
        for result in operation.outputs
        if operation.type not in {"ReadVariableOp", "Placeholder"} and result.shape.rank
        for dimension in result.shape.as_list()
    }
    assert widths
    assert 100_000 not in widths


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"input": "one_hot", "vectors": "words.vec"}, "network.input = one_hot"),
        ({"train_vectors": False}, "network.train_vectors = false"),
        ({"cell": "lstm", "reset_after": False}, "only a GRU has"),
    ],
)
def test_contradictory_settings_are_refused(settings, reason):
    with pytest.raises(ValidationError, match=reason):
        NetworkConfig.model_validate(settings, strict=False)
