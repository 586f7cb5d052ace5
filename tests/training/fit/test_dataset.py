import itertools

import numpy as np
import pytest

from gatewise.training.data import examples
from gatewise.training.fit.dataset import Batches, sequential_batches, tensors


@pytest.fixture
def stored(tmp_path):
    """1,000 texts of 1 to 30 tokens; the first token is the text's number, one label is rare."""
    random = np.random.default_rng(1)
    ids = [np.full(random.integers(1, 31), number) for number in range(1000)]
    labels = (np.arange(1000) % 10 == 0).astype(np.int32)
    return examples.store([(ids, labels)], tmp_path)


def taken(batches, epoch, skip=0):
    return [batch.tolist() for batch in batches.epoch(epoch, skip)]


def test_an_epoch_has_every_row_once(stored):
    batches = Batches(stored, 16, seed=1)
    found = taken(batches, 1)
    assert len(found) == len(batches) == 63
    assert sorted(itertools.chain.from_iterable(found)) == list(range(1000))
    for skip in (1, 50, 63):
        assert taken(batches, 1, skip) == found[skip:]


def test_the_order_follows_from_seed_and_epoch(stored):
    orders = [taken(Batches(stored, 16, seed), epoch) for seed, epoch in ((1, 1), (1, 2), (2, 1))]
    assert orders[0] == taken(Batches(stored, 16, seed=1), 1)
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_texts_of_similar_length_share_a_batch(stored):
    rows = np.concatenate(list(sequential_batches(stored, 7)))
    assert sorted(rows.tolist()) == list(range(1000))
    padded = sum(
        len(rows) * stored.lengths(rows).max() for rows in Batches(stored, 16, seed=1).epoch(1)
    )
    assert padded < 1.2 * stored.tokens


def test_balanced_epochs_have_equally_many_texts_of_every_label(stored):
    rows = np.concatenate(list(Batches(stored, 16, seed=1, balanced=True).epoch(1)))
    labels = stored.targets(rows)
    assert len(rows) == 1000
    assert np.bincount(labels).tolist() == [500, 500]
    common, rare = rows[labels == 0], rows[labels == 1]
    assert len(set(common.tolist())) == 500  # none of them twice
    assert set(np.bincount(rare)[::10].tolist()) == {5}  # all of them five times


def test_tensors_have_the_rows_and_their_weights(stored):
    rows = [np.array([10, 3]), np.array([4])]
    first, second = tensors(stored, iter(rows), np.array([1.0, 5.0], np.float32))
    ids, mask, targets, weights = (part.numpy() for part in first)
    assert ids[:, 0].tolist() == [10, 3]
    assert mask.sum(axis=1).tolist() == stored.lengths(rows[0]).tolist()
    assert targets.tolist() == [1, 0]
    assert weights.tolist() == [2.5, 0.5]
    assert second[3].numpy().tolist() == [1.0]
