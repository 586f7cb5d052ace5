"""Thresholds: the best F1 there is, found anew by trying every one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import f1_score

from gatewise.training.evaluation.thresholds import choose, highest_f1


def column(*values, dtype=np.float64):
    return np.array(values, dtype=dtype)[:, None]


@pytest.mark.parametrize(
    ("scores", "truth", "threshold"),
    [
        ((0.1, 0.9), (False, True), 0.5),
        ((0.1, 0.2, 0.4), (False, True, True), 0.15),
        ((0.6, 0.8), (True, True), 0.3),
        ((0.0, 0.0), (True, False), 0.5),
        ((0.1, 0.9), (False, False), 0.5),
        ((0.3, 0.3), (True, False), 0.15),
        # Cut below the first or below the third: two thirds either way; 0.55 is nearer to 0.5.
        ((0.9, 0.8, 0.6, 0.5), (True, False, True, True), 0.25),
        ((1.0,), (True,), 0.5),
        # F1 is 2/3 with one row given the label (cut 0.85), with two of them right of four (0.35).
        ((0.9, 0.8, 0.5, 0.4, 0.3), (True, False, False, True, False), 0.35),
    ],
)
def test_small_cases(scores, truth, threshold):
    found = highest_f1(column(*scores), column(*truth, dtype=bool))
    assert found == (pytest.approx(threshold),)


# Few different scores, so that equal ones and borders are met.
SCORES = st.sampled_from([0.0, 1e-30, 0.25, 0.5, 0.7, 0.70000005, 1.0])


@settings(max_examples=40)
@given(
    data=st.integers(1, 12).flatmap(
        lambda rows: st.tuples(
            arrays.arrays(
                np.float32, (rows, 3), elements=SCORES.map(lambda x: float(np.float32(x)))
            ),
            arrays.arrays(np.bool_, (rows, 3)),
        )
    )
)
def test_no_threshold_gives_a_better_f1(data):
    scores, truth = data
    for chosen, values, has in zip(highest_f1(scores, truth), scores.T, truth.T, strict=True):
        assert 0 < chosen <= 1
        tried = [value for value in {*values.tolist(), 1.0} if value > 0]
        best = max(f1_score(has, values >= np.float32(cut), zero_division=0) for cut in tried)
        for precision in (np.float32, np.float64):
            given_label = values.astype(precision) >= precision(chosen)
            found = f1_score(has, given_label, zero_division=0)
            assert found == pytest.approx(best)
        if not has.any():
            assert chosen == 0.5


def scored(positives: int, rows: int = 400):
    """A label with a share of rows, whose scores tell them from the others, with noise."""
    generator = np.random.default_rng(positives)
    has = np.arange(rows) < positives
    return 1 / (1 + np.exp(-generator.normal(np.where(has, 0.5, -3), 1))), has


def test_a_rare_label_takes_the_common_threshold_and_a_frequent_one_its_own():
    moved, has = scored(145)
    labels = [scored(150), scored(140), scored(160), scored(1), (moved**0.3, has), scored(0)]
    scores, truth = (np.stack(part, axis=1) for part in zip(*labels, strict=True))
    *_, rare, frequent, common = choose(scores, truth)
    own = highest_f1(scores, truth)
    assert abs(rare - common) < abs(own[3] - common) / 3
    assert abs(frequent - own[4]) < abs(own[4] - common) / 3


def test_a_label_without_a_row_has_the_common_threshold():
    scores, truth = (np.stack(part, axis=1) for part in zip(scored(50), scored(0), strict=True))
    with_row, without = choose(scores, truth)
    assert 0 < without < 0.5
    assert with_row == pytest.approx(without, abs=0.1)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_scores_at_the_ends_have_a_threshold_between(value):
    scores, truth = np.full((3, 2), value), np.array([[True, False]] * 3)
    assert all(0 < threshold < 1 for threshold in choose(scores, truth))
