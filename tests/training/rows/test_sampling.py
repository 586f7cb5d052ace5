import numpy as np
import pytest

from training.rows.sampling import drawn

MOST = 4_000


def test_of_many_some_are_drawn_evenly():
    some = drawn(range(10 * MOST), MOST)
    assert len(set(some)) == MOST
    assert drawn(range(10 * MOST), MOST) == some
    assert np.mean(some) == pytest.approx(5 * MOST, rel=0.03)
    assert drawn(range(7), MOST) == list(range(7))


def test_another_seed_draws_others():
    assert drawn(range(100), 10, seed=1) != drawn(range(100), 10, seed=2)
