import numpy as np
import pytest

from gatewise.service.model.scores import apply, ranked, reached


@pytest.mark.parametrize("function", ["softmax", "sigmoid"])
def test_score_functions_do_not_overflow(function):
    logits = np.array([[1e30, -1e30, 0.0], [-1e4, -1e4, -1e4]], dtype=np.float32)
    scores = apply(function, logits)
    assert np.isfinite(scores).all()
    assert scores[0].tolist() == [1.0, 0.0, 0.0 if function == "softmax" else 0.5]


def test_no_score_function_gives_logits():
    logits = np.array([[3.5, -2.0]], dtype=np.float32)
    np.testing.assert_array_equal(apply("none", logits), logits)


def test_ranked_puts_the_best_first_and_keeps_the_order_of_equals():
    scores = np.array([0.2, 0.5, 0.2, 0.1], dtype=np.float32)
    assert ranked(list("abcd"), scores) == [("b", 0.5), ("a", 0.2), ("c", 0.2), ("d", 0.1)]
    assert ranked(list("abcd"), scores, 2) == [("b", 0.5), ("a", 0.2)]


def test_a_label_is_kept_where_its_score_reaches_its_own_threshold():
    scores = np.array([0.2, 0.5, 0.1], dtype=np.float32)
    assert ranked(list("abc"), scores, thresholds=(0.2, 0.6, 0.05)) == [("a", 0.2), ("c", 0.1)]
    assert ranked(list("abc"), scores, 1, thresholds=(0.2, 0.6, 0.05)) == [("a", 0.2)]
    assert ranked(list("abc"), scores, thresholds=(1.0, 1.0, 1.0)) == []


def test_a_threshold_is_reached_by_the_same_number_in_32_bits():
    scores = np.array([[0.1, 0.7]], dtype=np.float32)
    above = float(np.nextafter(scores[0, 1], np.float32(1)))
    assert reached(scores, (0.1, 0.7)).tolist() == [[True, True]]
    assert reached(scores, (0.1, above)).tolist() == [[True, False]]
