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
    assert cost_of([0.7, *[0.4, 1.2, 0.2, 0.9] * 20]).is_good


@pytest.mark.parametrize("last", [math.nan, math.inf, 1e30])
def test_a_cost_without_bound_diverges(last):
    cost = cost_of([0.7, 0.6, last])
    assert cost.diverges
    assert not cost.is_good
    # One that stays worse than untrained is not good, but does not diverge yet.
    cost = cost_of([0.7] + [1.5] * 50)
    assert not cost.diverges
    assert not cost.is_good


def test_a_new_epoch_resets_only_the_mean():
    cost = cost_of([0.8, 0.6])
    now = cost.now
    cost.end_epoch()
    assert math.isnan(cost.epoch_mean)
    assert cost.now == now
    cost.add(0.1)
    assert cost.epoch_mean == 0.1
    assert cost.first == 0.8


def test_the_message_about_divergence():
    message = divergence(17, cost_of([0.7, math.nan]), 100.0, 10.0)
    assert message == (
        "update 17: the cost diverges, from 0.7 to a number that is not finite: the learning rate "
        "100 is too large. The last good weights are restored and training continues with 10"
    )


def test_the_messages_about_a_flat_and_a_rising_cost():
    assert "0.6931, where the untrained network had 0.6932: the learning rate 1e-07" in flatness(
        0.6932, 0.6931, 1e-7
    )
    assert flatness(0.69, 0.5, 1e-3) is None
    message = flatness(0.69, 1.0, 30.0)
    assert "higher than at the start" in message
    assert "the learning rate 30 is too large" in message


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ([0.6, 0.3, 0.29], "the cost fell from 0.7 to 0.29 and has settled"),
        ([0.6, 0.5, 0.3], "the cost was still falling when training ended, from 0.5 to 0.3"),
        ([0.7, 0.7, 0.7], None),  # flat has its own message
        ([0.6, 0.3], None),
    ],
)
def test_the_message_at_the_end_of_a_run(means, expected):
    found = ending(0.7, means, stopped=False, best_was_last=False)
    assert found is None if expected is None else found.startswith(expected)
    # A run that stopped early gets no advice for more epochs.
    assert "still falling" not in str(ending(0.7, means, stopped=True, best_was_last=False))


def test_a_run_whose_best_epoch_was_the_last_has_not_settled():
    settled = [0.6, 0.3, 0.29]
    found = ending(0.7, settled, stopped=False, best_was_last=True)
    assert found == "the best epoch was the last, 3: more epochs may help (training.epochs)"
    assert ending(0.7, settled[:2], stopped=False, best_was_last=True) is None
    # Not if it is flat: more epochs of it would help nothing.
    assert ending(0.7, [0.7, 0.7, 0.7], stopped=False, best_was_last=True) is None


def test_a_first_batch_that_costs_little_is_no_measure():
    """A solved linear path may know all of a small first batch."""
    cost = Cost(guess=math.log(2))
    cost.add(0.01, rows=2)
    for _ in range(50):
        cost.add(0.6, rows=64)
    assert not cost.diverges
    assert cost.is_good
    for _ in range(20):
        cost.add(9, rows=64)
    assert cost.diverges
    assert not cost.is_good
