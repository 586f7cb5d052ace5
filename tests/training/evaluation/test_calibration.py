"""The temperature and the calibration error, beside numbers worked out by hand or known before."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, softmax

from gatewise.training.evaluation.calibration import (
    BINS,
    HIGHEST,
    LOWEST,
    Reliability,
    negative_log_likelihood,
    predictions_of,
    temperature,
)


def drawn(rows, labels, scale, seed=0):
    """Logits that say `scale` times what is true, and labels drawn by the truth."""
    generator = np.random.default_rng(seed)
    true = generator.normal(0, 2, (rows, labels))
    targets = np.array([generator.choice(labels, p=p) for p in softmax(true, axis=1)], np.int32)
    return (true * scale).astype(np.float32), targets


@pytest.mark.parametrize("known", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found_again(known):
    logits, targets = drawn(8000, 6, known)
    assert temperature(logits, targets) == pytest.approx(known, rel=0.05)
    assert temperature(logits, np.eye(6, dtype=np.float32)[targets]) == temperature(logits, targets)
    true = np.random.default_rng(1).normal(0, 2, (3000, 4))
    logits = (true * known).astype(np.float32)
    # Soft targets are matched, not their labels.
    soft = softmax(true, axis=1).astype(np.float32)
    assert temperature(logits, soft) == pytest.approx(known, rel=0.02)
    several = (np.random.default_rng(2).random(true.shape) < expit(true)).astype(np.float32)
    assert temperature(logits, several, multi_label=True) == pytest.approx(known, rel=0.07)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("rows", [1, 10, 10_000])
def test_rows_that_are_all_right_do_not_make_the_model_sure_of_all(rows, several):
    targets = np.eye(2, dtype=np.float32)[np.arange(rows) % 2]
    found = temperature(2 * (2 * targets - 1), targets, multi_label=several)
    assert LOWEST <= found <= 1
    if rows <= 10:
        assert found > 0.6  # a few rows tell little
    wrong = temperature(2 * (2 * targets - 1), 1 - targets, multi_label=several)
    assert 1 <= wrong <= HIGHEST


@given(st.integers(0, 10_000), st.integers(1, 30), st.floats(0.1, 10))
def test_it_never_makes_the_loss_worse_nor_another_label_the_best(seed, rows, scale):
    logits, targets = drawn(rows, 4, scale, seed)
    found = temperature(logits, targets)
    assert LOWEST * 0.999 <= found <= HIGHEST * 1.001
    divided = logits / np.float32(found)
    assert (divided.argmax(axis=1) == logits.argmax(axis=1)).all()
    before = negative_log_likelihood(logits, targets)
    assert negative_log_likelihood(divided, targets) <= before + 1e-6


def test_the_loss_is_what_it_is_defined_as():
    logits, targets = drawn(50, 3, 1.0)
    shares = np.eye(3, dtype=np.float32)[targets]
    expected = -np.log(softmax(logits.astype(float), axis=1)[np.arange(50), targets]).mean()
    assert negative_log_likelihood(logits, targets) == pytest.approx(expected)
    assert negative_log_likelihood(logits, shares) == pytest.approx(expected)
    yes = expit(logits.astype(float))
    expected = -(shares * np.log(yes) + (1 - shares) * np.log(1 - yes)).mean()
    assert negative_log_likelihood(logits, shares, multi_label=True) == pytest.approx(expected)


def test_the_error_of_an_example_made_by_hand():
    # Bins of a fifteenth: 0.95 and 0.97 share the last one, [14/15, 1].
    confidences = np.array([0.95, 0.97, 0.95, 0.97, 0.5, 0.5, 0.1])
    right = np.array([1, 1, 1, 0, 0, 1, 0], dtype=bool)
    expected = (4 * (0.96 - 0.75) + 2 * 0 + 1 * 0.1) / 7
    counted = Reliability()
    assert counted.error == 0
    counted.add(confidences, right)
    assert counted.error == pytest.approx(expected)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50))
def test_windows_make_no_difference_to_the_error(predictions):
    confidences = np.array([each for each, _ in predictions])
    right = np.array([each for _, each in predictions])
    counted, at_once = Reliability(), Reliability()
    for start in range(0, len(confidences), 7):
        counted.add(confidences[start : start + 7], right[start : start + 7])
    at_once.add(confidences, right)
    assert counted.error == pytest.approx(at_once.error)
    assert sum(found.predictions for found in counted.bins()) == len(predictions)
    assert len(counted.bins()) == BINS


def test_an_answer_is_one_prediction_or_one_for_each_label():
    probabilities = np.array([[0.7, 0.3], [0.4, 0.6]])
    truth = np.array([[True, False], [True, False]])
    confidences, right = predictions_of(probabilities, truth, multi_label=False)
    assert (confidences.tolist(), right.tolist()) == ([0.7, 0.6], [True, False])
    confidences, right = predictions_of(probabilities, truth, multi_label=True)
    assert (confidences.tolist(), right.tolist()) == (
        [0.7, 0.3, 0.4, 0.6],
        [True, False, True, False],
    )
