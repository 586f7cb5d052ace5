from dataclasses import replace

import numpy as np
import pytest

from gatewise.training.data import examples


def texts(count, seed=1):
    random = np.random.default_rng(seed)
    return [random.integers(0, 50, random.integers(1, 9)) for _ in range(count)]


@pytest.mark.parametrize("classes", [0, 3])
def test_what_was_stored_comes_back(classes, tmp_path):
    ids = texts(500)
    random = np.random.default_rng(2)
    targets = (
        random.random((500, classes)).astype(np.float32)
        if classes
        else random.integers(0, 9, 500).astype(np.int32)
    )
    windows = [
        (ids[start : start + 70], targets[start : start + 70]) for start in range(0, 500, 70)
    ]
    stored = examples.store(windows, tmp_path)
    rows = random.permutation(500)
    assert len(stored) == 500
    assert stored.classes == classes
    assert stored.tokens == sum(map(len, ids))
    assert stored.longest == max(map(len, ids))
    assert [found.tolist() for found in stored.ids(rows)] == [ids[row].tolist() for row in rows]
    assert stored.lengths(rows).tolist() == [len(ids[row]) for row in rows]
    np.testing.assert_array_equal(stored.targets(rows), targets[rows])
    # Rows of an earlier file are gone.
    again = examples.store([(texts(2), np.ones(2, np.int32)), ([], np.ones(0, np.int32))], tmp_path)
    assert again.targets(np.arange(len(again))).tolist() == [1, 1]


def test_windows_are_examples_with_the_targets_of_their_texts(tmp_path):
    ids = [np.array(text) for text in ([2, 10, 11, 12, 13, 14], [2, 20], [2, 30, 31, 32])]
    stored = examples.store([(ids, np.array([5, 6, 7], np.int32))], tmp_path)
    assert stored.windows(6) is stored
    windows = stored.windows(4)
    rows = np.array([3, 0, 1, 2])
    assert [found.tolist() for found in windows.ids(rows)] == [
        [2, 30, 31, 32],
        [2, 10, 11, 12],
        [2, 13, 14],
        [2, 20],
    ]
    assert windows.lengths(rows).tolist() == [4, 4, 3, 2]
    assert windows.targets(rows).tolist() == [7, 5, 5, 6]
    assert (len(windows), windows.tokens, windows.longest) == (4, 13, 4)
    assert windows.windows_of(np.array([2, 0])).tolist() == [3, 0, 1]
    weights = windows.weights(np.arange(4))
    # A text counts the same however many windows it has.
    np.testing.assert_allclose(weights, np.array([1 / 2, 1 / 2, 1, 1]) * 4 / 3)
    of_some = stored.only(np.array([True, False, True])).windows(4)
    assert of_some.targets(np.arange(3)).tolist() == [5, 5, 7]


def test_weights_have_a_mean_of_one_in_every_part(tmp_path):
    ids, targets = (
        [np.array([2, 10, 11, 12, 13, 14]), np.array([2, 20])],
        np.array([5, 6], np.int32),
    )
    stored = examples.store([(ids, targets)], tmp_path / "plain")
    weighted = replace(stored, given_weights=np.array([9.0, 3.0]))
    rows = np.arange(2)
    assert stored.weights(rows).tolist() == [1, 1]
    assert weighted.weights(rows).tolist() == [1.5, 0.5]
    equal = replace(stored, given_weights=np.array([0.1, 0.1]))
    assert equal.weights(rows).tolist() == [1, 1]
    # Nearly nothing is not nothing, in 32 bits either.
    assert (replace(stored, given_weights=np.array([1e30, 1e-30])).weights(rows) > 0).all()
    # A text's windows have its weight together.
    windows = weighted.windows(4)
    np.testing.assert_allclose(windows.weights(np.arange(3)), np.array([0.75, 0.75, 0.5]) * 3 / 2)
    both = examples.concatenate([weighted, stored], tmp_path / "both")
    np.testing.assert_allclose(both.weights(np.arange(4)), np.array([9, 3, 1, 1]) * 4 / 14)
