import keras
import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from gatewise.training.config.training_section import TrainingConfig
from gatewise.training.data import examples
from gatewise.training.data.value_scale import ValueScale
from gatewise.training.fit.loss import Loss, make_loss

LOGITS = np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)
LABELS = np.array([0, 2, 1, 1, 0, 2], dtype=np.int32)
ONE_HOT = np.eye(3, dtype=np.float32)[LABELS]


def values(loss, targets, smoothed=True):
    return np.asarray(loss.per_text(LOGITS, targets, smoothed=smoothed))


def test_labels_give_the_cross_entropy_of_keras():
    expected = keras.ops.sparse_categorical_crossentropy(LABELS, LOGITS, from_logits=True)
    np.testing.assert_allclose(values(Loss(3, False, 0.0, None), LABELS), expected, rtol=1e-5)


def test_soft_labels_give_the_expected_loss():
    loss = Loss(3, False, 0.0, None)
    shares = np.full((6, 3), [0.2, 0.3, 0.5], dtype=np.float32)
    by_label = [values(loss, np.full(6, label, np.int32)) for label in range(3)]
    expected = 0.2 * by_label[0] + 0.3 * by_label[1] + 0.5 * by_label[2]
    np.testing.assert_allclose(values(loss, shares), expected, rtol=1e-5)


def test_smoothing_is_that_of_keras_and_not_in_validation():
    loss = Loss(3, False, 0.1, None)
    keras_loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=0.1, reduction="none"
    )
    np.testing.assert_allclose(values(loss, LABELS), keras_loss(ONE_HOT, LOGITS), rtol=1e-5)
    plain = values(Loss(3, False, 0.0, None), LABELS)
    np.testing.assert_allclose(values(loss, LABELS, smoothed=False), plain)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_several_labels_give_the_binary_cross_entropy_of_keras(smoothing):
    targets = (np.random.default_rng(2).random((6, 3)) > 0.5).astype(np.float32)
    keras_loss = keras.losses.BinaryCrossentropy(
        from_logits=True, label_smoothing=smoothing, reduction="none"
    )
    found = values(Loss(3, True, smoothing, None), targets)
    np.testing.assert_allclose(found, keras_loss(targets, LOGITS), rtol=1e-5)


def stored(folder, targets):
    return examples.store([([np.array([2, 5])] * len(targets), targets)], folder)


def test_balanced_weights_are_those_of_scikit_learn(tmp_path):
    labels = np.array([0] * 6 + [1] * 3 + [2], dtype=np.int32)
    loss = make_loss(
        TrainingConfig(class_weights="balanced"), stored(tmp_path, labels), 3, multi_label=False
    )
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(loss.row_weights, expected, rtol=1e-6)


def test_in_a_multi_label_task_yes_and_no_are_balanced_for_each_label(tmp_path):
    targets = np.array([[1, 0], [1, 0], [1, 1], [0, 0]], dtype=np.float32)
    loss = make_loss(
        TrainingConfig(class_weights="balanced"), stored(tmp_path, targets), 2, multi_label=True
    )
    assert loss.row_weights is None
    for column, weights in zip(targets.T, loss.class_weights.T, strict=True):
        expected = compute_class_weight("balanced", classes=np.array([1.0, 0.0]), y=column)
        np.testing.assert_allclose(weights, expected, rtol=1e-6)
    total = np.asarray(loss.per_text(np.zeros((4, 2), np.float32), targets, smoothed=True))
    assert total.mean() == pytest.approx(np.log(2))  # balanced weights keep the mean


def test_without_class_weights_there_are_none(tmp_path):
    loss = make_loss(TrainingConfig(), stored(tmp_path, LABELS), 3, multi_label=False)
    assert loss.class_weights is None


def test_numbers_have_the_squared_error_or_that_of_huber(tmp_path):
    scale = ValueScale(np.array([100.0]), np.array([20.0]))
    targets = np.array([[0.0], [1.0], [-1.0]], dtype=np.float32)
    logits = np.array([[0.5], [1.0], [2.0]], dtype=np.float32)
    rows = examples.store([([np.array([2])] * 3, targets)], tmp_path)
    for name, expected in (("squared", [0.25, 0, 9]), ("huber", [0.25, 0, 5])):
        loss = make_loss(TrainingConfig(loss=name), rows, 1, multi_label=False, scale=scale)
        assert loss.per_text(logits, targets, smoothed=True).numpy().tolist() == expected
        assert loss.per_text(logits, targets, smoothed=False).numpy().tolist() == [0.25, 0, 9]
        assert loss.guess == 1


def test_the_loss_of_several_numbers_is_their_mean(tmp_path):
    scale = ValueScale(np.array([100.0, 0.0]), np.array([20.0, 1.0]))
    targets = np.array([[0.0, 1.0], [1.0, -1.0]], dtype=np.float32)
    logits = np.array([[0.5, 1.0], [1.0, 2.0]], dtype=np.float32)
    rows = examples.store([([np.array([2])] * 2, targets)], tmp_path)
    for name, expected in (("squared", [0.125, 4.5]), ("huber", [0.125, 2.5])):
        loss = make_loss(TrainingConfig(loss=name), rows, 2, multi_label=False, scale=scale)
        assert loss.per_text(logits, targets, smoothed=True).numpy().tolist() == expected
