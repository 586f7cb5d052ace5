import numpy as np
import pytest

from training.fitting.validation import validate
from training.rows import examples


class Answers:
    """Stands for a learner: what it answers is in the first token of each text."""

    def answer(self, batch):
        ids = batch[0].numpy()[:, 0]
        return np.eye(3, dtype=np.float32)[ids] * 5, 0.1


def test_a_label_that_is_given_but_does_not_occur_takes_no_part_in_the_mean(tmp_path):
    """As in the report, whose macro-F1 is the mean over the labels that occur."""
    truth = np.array([0] * 10 + [1] * 10, dtype=np.int32)
    given = truth.copy()
    given[0] = 2
    stored = examples.store([([np.array([label]) for label in given], truth)], tmp_path)
    found = validate(Answers(), stored, "macro_f1", multi_label=False)
    assert found.metric == pytest.approx((18 / 19 + 1) / 2)
    assert validate(Answers(), stored, "accuracy", multi_label=False).metric == 0.95
    assert validate(Answers(), stored, "loss", multi_label=False).metric == pytest.approx(0.1)
