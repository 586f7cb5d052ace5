import numpy as np
import pytest

from gatewise.training.data.sampling import reservoir, sample_of_size

MOST = 4_000


def test_of_many_some_are_drawn_evenly():
    some = reservoir(range(10 * MOST), MOST)
    assert len(set(some)) == MOST
    assert reservoir(range(10 * MOST), MOST) == some
    assert np.mean(some) == pytest.approx(5 * MOST, rel=0.03)
    assert reservoir(range(7), MOST) == list(range(7))
    assert reservoir(range(100), 10, seed=1) != reservoir(range(100), 10, seed=2)


def test_as_many_as_fit_are_taken_evenly_and_in_their_order():
    sizes = [number % 7 + 1 for number in range(10_000)]
    some = sample_of_size(range(10_000), sizes, 8_000)
    total = sum(sizes[number] for number in some)
    assert 8_000 - 7 <= total <= 8_000
    assert some == sorted(set(some))
    assert np.mean(some) == pytest.approx(5_000, rel=0.05)
    assert np.mean([sizes[number] for number in some]) == pytest.approx(4, rel=0.05)
    again, other = (sample_of_size(range(10_000), sizes, 8_000, *seed) for seed in ((), (2,)))
    assert again == some != other
    # What fits is taken as it is, and one always.
    assert sample_of_size("abc", [1, 1, 1], 3) == ["a", "b", "c"]
    assert len(sample_of_size("abc", [5, 6, 7], 4)) == 1
    assert sample_of_size("", [], 4) == []
