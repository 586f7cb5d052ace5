import numpy as np
import pytest
from gatewise.training.data import examples
from gatewise.training.fit.validation import balance_paths, validate


class Answers:
    """Stands for a learner of one path: what it answers is in the first token of each text."""

    apart, paths = False, 1

    def answer(self, batch):
        ids = batch[0].numpy()[:, 0]
        return [np.eye(3, dtype=np.float32)[ids] * 5]


def test_a_label_that_is_given_but_does_not_occur_takes_no_part_in_the_mean(tmp_path):
    """As in the report, whose macro-F1 is the mean over the labels that occur."""
    truth = np.array([0] * 10 + [1] * 10, dtype=np.int32)
    given = truth.copy()
    given[0] = 2
    stored = examples.store([([np.array([label]) for label in given], truth)], tmp_path)
    found = validate(Answers(), stored, "macro_f1", multi_label=False)
    assert found.metric == pytest.approx((18 / 19 + 1) / 2)
    assert validate(Answers(), stored, "accuracy", multi_label=False).metric == 0.95
    loss = validate(Answers(), stored, "loss", multi_label=False)
    assert loss.metric == loss.loss == pytest.approx(np.log(np.exp(5) + 2) - 5 * 19 / 20)


class TwoPaths:
    """Stands for a learner of two paths: the first is right, the second sure and wrong."""

    apart, paths = True, 2

    def answer(self, batch):
        ids = batch[0].numpy()[:, 0]
        right = np.eye(2, dtype=np.float32)[ids]
        return [right * 2, (1 - right) * 6]


def test_paths_that_learnt_apart_are_weighed_before_they_are_counted(tmp_path):
    truth = np.array([0, 1] * 20, dtype=np.int32)
    stored = examples.store([([np.array([label]) for label in truth], truth)], tmp_path)
    first, second = balance_paths(TwoPaths(), stored, multi_label=False)
    assert first * 2 > second * 6
    assert validate(TwoPaths(), stored, "accuracy", multi_label=False).metric == 1
    together = TwoPaths()
    together.apart = False
    assert balance_paths(together, stored, multi_label=False) == (1, 1)
    assert validate(together, stored, "accuracy", multi_label=False).metric == 0


def test_logits_that_are_no_numbers_are_told_and_not_weighed(tmp_path):
    class Diverged(TwoPaths):
        def answer(self, batch):
            return [logits * np.nan for logits in super().answer(batch)]

    truth = np.array([0, 1], dtype=np.int32)
    stored = examples.store([([np.array([label]) for label in truth], truth)], tmp_path)
    assert balance_paths(Diverged(), stored, multi_label=False) == (1, 1)
    assert np.isnan(validate(Diverged(), stored, "accuracy", multi_label=False).loss)
