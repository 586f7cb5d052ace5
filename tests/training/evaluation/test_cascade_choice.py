import numpy as np
import pytest

from gatewise.training.evaluation.cascade_choice import choose


def rows(count, differing=(), wrong=()):
    """The linear path's logits, surer row by row, the network's probabilities, and the truth."""
    linear = np.zeros((count, 2), dtype=np.float32)
    linear[:, 0] = np.linspace(0.1, 5, count)
    network = np.tile(np.array([0.9, 0.1], dtype=np.float32), (count, 1))
    network[list(differing)] = 0.2, 0.8
    truth = np.zeros((count, 2), dtype=np.bool_)
    truth[:, 0] = True
    truth[list(wrong)] = False, True
    return linear, network, truth


def test_it_answers_every_row_if_all_agree():
    found = choose(*rows(2000), temperature=2)
    assert found.settings is not None
    assert found.settings.temperature == 2
    assert (found.answered, found.agreement, found.rows) == (1, 1, 2000)
    assert found.settings.threshold == pytest.approx(1 / (1 + np.exp(-0.1 / 2)))
    assert found.as_dict()["threshold"] == found.settings.threshold


def test_it_answers_only_those_among_which_enough_agree():
    # The 300 rows that it is least sure of: a third of them differ.
    found = choose(*rows(4000, differing=range(0, 300, 3)), temperature=1)
    assert found.settings is not None
    assert 3700 / 4000 < found.answered < 3750 / 4000
    assert found.agreement_low >= 0.995
    differing = 4000 - round(found.agreement * 4000)
    assert 0 < differing < 20


def test_accuracy_limits_it_too():
    # Where they differ, the network is always right: it may win one row of a thousand.
    labels = range(20)
    found = choose(*rows(20_000, differing=labels, wrong=labels), temperature=1)
    assert found.answered == 1
    labels = range(40)
    found = choose(*rows(20_000, differing=labels, wrong=labels), temperature=1)
    assert found.answered == pytest.approx(1 - 20 / 20_000)
    assert found.accuracy_change == pytest.approx(-0.001)
    # Where the linear path is right instead, nothing is lost.
    assert choose(*rows(20_000, differing=labels), temperature=1).answered == 1


def test_few_rows_show_nothing():
    assert choose(*rows(760), temperature=1).settings is None
    assert choose(*rows(770), temperature=1).settings is not None
    none = choose(*(each[:0] for each in rows(10)), temperature=1)
    assert (none.settings, none.rows, none.answered) == (None, 0, 0)


def test_rows_of_one_probability_are_answered_together():
    linear, network, truth = rows(2000, differing=range(20))
    linear[:100] = 0.05, 0
    found = choose(linear, network, truth, temperature=1)
    assert found.answered == 1900 / 2000


def test_a_rejected_row_has_another_label():
    linear, network, truth = rows(2000)
    network[:] = 0.6, 0.4
    found = choose(linear, network, truth, temperature=1, reject=0.7)
    # The network rejects every row, and the linear path those below 0.7.
    assert found.settings is None
    network[:] = 0.9, 0.1
    found = choose(linear, network, truth, temperature=1, reject=0.7)
    assert found.settings is not None
    assert found.settings.threshold >= 0.69
