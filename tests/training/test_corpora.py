from hypothesis import given
from hypothesis import strategies as st

from training.corpora import split


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60), st.integers(0, 5))
def test_a_split_keeps_every_row_once_and_a_row_of_every_label_for_training(labels, seed):
    kept, aside = split(labels, 0.2, seed)
    assert sorted(kept + aside) == list(range(len(labels)))
    assert {labels[row] for row in kept} == set(labels)
    assert split(labels, 0.2, seed) == (kept, aside)


def test_a_split_sets_the_same_share_of_each_label_aside():
    labels = ["a"] * 100 + ["b"] * 50 + ["c"]
    _, aside = split(labels, 0.1, seed=1)
    counted = [sum(labels[row] == name for row in aside) for name in "abc"]
    assert counted == [10, 5, 0]
    assert split(labels, 0.1, seed=2)[1] != aside


def test_labels_that_differ_by_a_nul_are_different_and_a_long_one_costs_nothing():
    labels = ["a"] * 6 + ["a\0"] + ["b" * 100_000] * 2 + ["c"] * 50_000
    kept, _ = split(labels, 0.1, seed=1)
    assert {labels[row] for row in kept} == set(labels)
