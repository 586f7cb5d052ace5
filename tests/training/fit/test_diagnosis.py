import math

import pytest
from gatewise.training.fit.diagnosis import Cost, divergence, ending, flatness


def cost_of(losses):
    cost = Cost()
    for loss in losses:
        cost.add(loss)
    return cost


def test_a_cost_that_falls_is_good():
    cost = cost_of([0.7, 0.6, 0.5, 0.3])
    assert not cost.diverges
    assert cost.is_good
    assert cost.epoch_mean == pytest.approx(2.1 / 4)
    assert 0.3 < cost.now < 0.7


def test_small_oscillations_do_not_count():
    assert cost_of([0.7, *[0.4, 1.2, 0.2, 0.9] * 20]).is_good


@pytest.mark.parametrize("last", [math.nan, math.inf, 1e30])
def test_a_cost_without_bound_diverges(last):
    cost = cost_of([0.7, 0.6, last])
    assert cost.diverges
    assert not cost.is_good


def test_a_cost_that_stays_worse_than_untrained_is_not_good_but_does_not_diverge_yet():
    cost = cost_of([0.7] + [1.5] * 50)
    assert not cost.diverges
    assert not cost.is_good


def test_a_new_epoch_begins_a_new_mean_and_goes_on_with_the_rest():
    cost = cost_of([0.8, 0.6])
    now = cost.now
    cost.end_epoch()
    assert math.isnan(cost.epoch_mean)
    assert cost.now == now
    cost.add(0.1)
    assert cost.epoch_mean == 0.1
    assert cost.first == 0.8


def test_divergence_is_told_with_what_becomes_of_it():
    told = divergence(17, cost_of([0.7, math.nan]), 100.0, 10.0)
    assert told == (
        "update 17: the cost diverges, from 0.7 to no finite number: the learning rate 100 is too "
        "large. The last good weights are restored and training goes on with 10"
    )


def test_a_flat_cost_is_told_and_one_that_fell_is_not():
    assert "0.6931, where the untrained network had 0.6932: the learning rate 1e-07" in flatness(
        0.6932, 0.6931, 1e-7
    )
    assert flatness(0.69, 0.5, 1e-3) is None


def test_a_cost_that_rose_is_not_blamed_on_a_small_rate():
    told = flatness(0.69, 1.0, 30.0)
    assert "higher than at the start" in told
    assert "the learning rate 30 is too large" in told


@pytest.mark.parametrize(
    ("means", "told"),
    [
        ([0.6, 0.3, 0.29], "the cost fell from 0.7 to 0.29 and has settled"),
        ([0.6, 0.5, 0.3], "the cost was still falling when training ended, from 0.5 to 0.3"),
        ([0.7, 0.7, 0.7], None),  # flat: told by itself
        ([0.6, 0.3], None),
    ],
)
def test_the_course_of_a_run_is_told_at_its_end(means, told):
    found = ending(0.7, means, stopped=False)
    assert found is None if told is None else found.startswith(told)


def test_a_run_that_was_stopped_is_not_told_to_go_on_for_longer():
    assert ending(0.7, [0.6, 0.5, 0.3], stopped=True) is None
