"""Thresholds of rejection, beside every other threshold that there is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewise.training.evaluation.rejection import choose, curve

PROBABILITIES = st.integers(1, 20).map(lambda number: number / 20)
INSIDE = st.lists(st.tuples(PROBABILITIES, st.booleans()), min_size=1, max_size=25)
OUTSIDE = st.lists(PROBABILITIES, max_size=15)


def arrays(inside, outside):
    return (
        np.array([each for each, _ in inside], dtype=np.float32),
        np.array([each for _, each in inside], dtype=np.bool_),
        np.array(outside, dtype=np.float32),
    )


def metrics(inside, outside, threshold):
    """Share answered, share of those right, share of rows in scope right, recall; by counting."""
    scores, right, other = arrays(inside, outside)
    answered = scores >= np.float32(threshold)
    return (
        answered.mean(),
        right[answered].mean() if answered.any() else 1.0,
        (answered & right).mean(),
        (other < np.float32(threshold)).mean() if len(other) else None,
    )


@given(INSIDE, OUTSIDE)
def test_a_curve_tells_what_its_thresholds_do(inside, outside):
    found = curve(*arrays(inside, outside))
    assert (np.diff(found.thresholds) > 0).all()
    assert found.answered[0] == 1
    for place in range(len(found)):
        point = found.at(place)
        answered, right, _, recall = metrics(inside, outside, point.threshold)
        assert (point.answered, point.accuracy_answered) == pytest.approx((answered, right))
        assert point.out_of_scope_recall == (recall if recall is None else pytest.approx(recall))


def reaching(found, inside, outside, target):
    """The thresholds that answer some rows with enough of them right."""
    tried = {each: metrics(inside, outside, each) for each in found.thresholds.tolist()}
    return [each for each, (answered, right, *_) in tried.items() if answered and right >= target]


@given(INSIDE, st.floats(0.05, 0.95))
def test_a_target_takes_the_lowest_threshold_that_reaches_it(inside, target):
    found = curve(*arrays(inside, []))
    chosen, reached = choose(found, target)
    able = reaching(found, inside, [], target)
    assert reached == bool(able)
    if able:
        assert chosen.threshold == min(able)
    else:
        best = max(metrics(inside, [], each)[1] for each in found.thresholds.tolist())
        assert chosen.accuracy_answered == pytest.approx(best)
    assert chosen.answered > 0


@given(INSIDE, OUTSIDE.filter(bool), st.none() | st.floats(0.05, 0.95))
def test_rows_out_of_scope_take_the_best_balance(inside, outside, target):
    found = curve(*arrays(inside, outside))
    chosen, reached = choose(found, target)

    def balance(threshold):
        _, _, accuracy, recall = metrics(inside, outside, threshold)
        return accuracy + recall

    able = reaching(found, inside, outside, target or 0)
    assert reached == bool(able)
    if able:
        assert balance(chosen.threshold) == pytest.approx(max(map(balance, able)))


def test_a_threshold_lies_between_the_rows_that_it_parts():
    scores, right = np.array([0.9, 0.8, 0.4]), np.array([True, True, False])
    assert choose(curve(scores, right, np.array([])), 0.99)[0].threshold == pytest.approx(0.6)
    # Nothing need be rejected, and so nothing is.
    assert choose(curve(scores, right, np.array([])), 0.6)[0].threshold == pytest.approx(0.2)
    chosen, reached = choose(curve(scores, right, np.array([0.5])), None)
    assert (chosen.threshold, reached) == (pytest.approx(0.65), True)
    # Of balances that are equal but for rounding the lowest threshold is taken.
    scores = np.linspace(0.95, 0.5, 6).astype(np.float32)
    right = np.array([True, True, False, False, False, False])
    assert choose(curve(scores, right, np.array([0.1], np.float32)), None)[0].answered == 1


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    scores = np.linspace(0.1, 0.9, 1000)
    found = curve(scores, scores > 0.5, np.array([]))
    points = found.thinned()
    assert len(points) == 100
    assert (points[0], points[-1]) == (found.at(0), found.at(999))
    assert len(curve(scores[:7], scores[:7] > 0.5, np.array([])).thinned()) == 7
