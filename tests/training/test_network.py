import keras
import numpy as np
import pytest

from training import network
from training.ngrams import MULTIPLIERS, NgramTable
from training.settings.network import NetworkConfig
from vocab.dictionary import BEGIN_ID, PAD_ID, UNKNOWN_ID
from vocab.encoding import pad

SHAPE = network.Shape(vocab_size=50, classes=3, ngrams=(1, 2))


def logits(model, ids):
    batch = pad(ids)
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    return keras.ops.convert_to_numpy(model(inputs, training=False))


@pytest.mark.parametrize("direction", ["forward", "backward", "bidirectional"])
@pytest.mark.parametrize("readout", ["last", "max", "mean", "max_mean"])
def test_padding_changes_nothing(direction, readout):
    config = NetworkConfig(direction=direction, readout=readout, units=5, layers=2, buckets=11)
    model = network.build(config, SHAPE, seed=1)
    short, long = np.array([2, 7, 8]), np.arange(2, 30)
    alone = logits(model, [short])
    beside = logits(model, [short, long])
    np.testing.assert_allclose(beside[:1], alone, atol=1e-6)


def test_the_ngram_path_starts_silent():
    config = NetworkConfig(units=5, buckets=11)
    with_path = network.build(config, SHAPE, seed=1)
    without = network.build(config, network.Shape(50, 3, ()), seed=1)
    ids = [np.array([2, 7, 8, 9])]
    np.testing.assert_array_equal(logits(with_path, ids), logits(without, ids))


def test_the_same_seed_gives_the_same_weights():
    first = network.build(NetworkConfig(), SHAPE, seed=3).get_weights()
    again = network.build(NetworkConfig(), SHAPE, seed=3).get_weights()
    other = network.build(NetworkConfig(), SHAPE, seed=4).get_weights()
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(first, other, strict=True))


def test_word_dropout_spares_padding_and_the_begin_mark():
    layer = network.WordDropout(0.5, seed=1)
    ids = np.array([[BEGIN_ID, *range(3, 50), PAD_ID, PAD_ID]] * 20, dtype=np.int32)
    dropped = keras.ops.convert_to_numpy(layer(ids, training=True))
    assert (dropped[:, 0] == BEGIN_ID).all()
    assert (dropped[:, -2:] == PAD_ID).all()
    changed = dropped != ids
    assert (dropped[changed] == UNKNOWN_ID).all()
    assert 0.4 < changed[:, 1:-2].mean() < 0.6
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer(ids, training=False)), ids)


def test_ngram_hashes_stay_exact_in_64_bit_floats():
    largest_id = 1_000_000
    assert sum(largest_id * multiplier for multiplier in MULTIPLIERS) < 2**53


def test_the_ngram_table_has_room_for_every_length():
    table = NgramTable(lengths=(1, 2, 4), vocab_size=50, buckets=10)
    assert table.rows == 70
    assert (table.offset(2), table.offset(4)) == (50, 60)
