import numpy as np
import pytest

from gatewise.training.data import examples
from gatewise.training.data.value_scale import ValueScale
from gatewise.training.fit.path_weights import Prior, paths_prior
from gatewise.training.fit.validation import balance_paths, validate


class OnePath:
    """A stub of a trainer with one path, which predicts the first token of each text."""

    separate_losses, path_count = False, 1

    def path_logits(self, batch):
        ids = batch[0].numpy()[:, 0]
        return [np.eye(3, dtype=np.float32)[ids] * 5]


def test_macro_f1_is_over_the_labels_that_occur(tmp_path):
    truth = np.array([0] * 10 + [1] * 10, dtype=np.int32)
    predicted = truth.copy()
    predicted[0] = 2
    stored = examples.store([([np.array([label]) for label in predicted], truth)], tmp_path)
    found = validate(OnePath(), stored, "macro_f1", multi_label=False)
    assert found.metric == pytest.approx((18 / 19 + 1) / 2)
    assert validate(OnePath(), stored, "accuracy", multi_label=False).metric == 0.95
    loss = validate(OnePath(), stored, "loss", multi_label=False)
    assert loss.loss == pytest.approx(np.log(np.exp(5) + 2) - 5 * 19 / 20)
    # One of twenty is wrong at a probability of one percent: a temperature makes up for that.
    assert 0.15 < loss.metric < loss.loss


class TwoPaths:
    """A stub of a trainer with two paths: the first is right, the second confident and wrong."""

    separate_losses, path_count = True, 2

    def path_logits(self, batch):
        ids = batch[0].numpy()[:, 0]
        right = np.eye(2, dtype=np.float32)[ids]
        return [right * 2, (1 - right) * 6]


def test_paths_with_separate_losses_are_weighted_for_the_metric(tmp_path):
    truth = np.array([0, 1] * 20, dtype=np.int32)
    stored = examples.store([([np.array([label]) for label in truth], truth)], tmp_path)
    first, second = balance_paths(TwoPaths(), stored, multi_label=False)
    assert first * 2 > second * 6
    assert validate(TwoPaths(), stored, "accuracy", multi_label=False).metric == 1
    # A prior that is certain decides against the rows.
    certain = Prior((0.1, 1.0), (1e-3, 1e-3))
    found = balance_paths(TwoPaths(), stored, multi_label=False, prior=certain)
    assert found == pytest.approx((0.1, 1.0), rel=0.01)
    wrong = validate(TwoPaths(), stored, "accuracy", multi_label=False, prior=certain)
    assert wrong.metric == 0
    together = TwoPaths()
    together.separate_losses = False
    assert balance_paths(together, stored, multi_label=False) == (1, 1)
    assert validate(together, stored, "accuracy", multi_label=False).metric == 0


def test_logits_that_are_not_finite_get_no_path_weights(tmp_path):
    class Diverged(TwoPaths):
        def path_logits(self, batch):
            return [logits * np.nan for logits in super().path_logits(batch)]

    truth = np.array([0, 1], dtype=np.int32)
    stored = examples.store([([np.array([label]) for label in truth], truth)], tmp_path)
    assert balance_paths(Diverged(), stored, multi_label=False) == (1, 1)
    assert np.isnan(validate(Diverged(), stored, "accuracy", multi_label=False).loss)


def test_the_logits_of_windows_are_pooled(tmp_path):
    class Second(OnePath):
        """Predicts the second token of each window: the first is `[CLS]`."""

        def path_logits(self, batch):
            return [np.eye(3, dtype=np.float32)[batch[0].numpy()[:, 1]]]

    texts = [np.array([2, 0, 9, 1, 9, 1]), np.array([2, 0, 9, 0]), np.array([2, 2])]
    stored = examples.store([(texts, np.array([1, 0, 2], np.int32))], tmp_path)
    found = validate(Second(), stored.windows(3), "accuracy", multi_label=False)
    logits = np.array([[1 / 3, 2 / 3, 0], [1, 0, 0], [0, 0, 1]])
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[[0, 1, 2], [1, 0, 2]]
    assert found.metric == 1
    assert found.loss == pytest.approx(losses.mean())


class NumberPaths:
    """A stub of a trainer whose paths predict half and twice the first token of each text."""

    separate_losses, path_count = True, 2

    def path_logits(self, batch):
        ids = batch[0].numpy()[:, :1].astype(np.float32)
        return [ids / 2, ids * 0 + 1]


def test_paths_that_predict_numbers_are_weighted_by_their_squared_error(tmp_path):
    numbers = np.array([[1], [2], [3], [4]] * 50, dtype=np.float32)
    stored = examples.store([([row.astype(np.int64) for row in numbers], numbers)], tmp_path)
    scale = ValueScale(np.array([0.0]), np.array([10.0]))
    settings = {"multi_label": False, "scale": scale, "prior": paths_prior("regression", None)}
    first, second = balance_paths(NumberPaths(), stored, **settings)
    # The first path twice is exact; the prior keeps the weights a little nearer to one.
    assert 1.8 < first < 2
    assert second < 0.3
    found = validate(NumberPaths(), stored, "rmse", **settings)
    assert found.metric == pytest.approx(10 * np.sqrt(found.loss))
    assert found.loss < 0.05
