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
