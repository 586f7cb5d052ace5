import numpy as np
import pytest

from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.config.training_section import TrainingConfig
from gatewise.training.data import examples
from gatewise.training.fit.dataset import sequential_batches, tensors
from gatewise.training.fit.loss import make_loss
from gatewise.training.fit.output_bias import set_output_bias
from gatewise.training.fit.train_step import Trainer
from gatewise.training.network.build import build
from gatewise.training.network.shape import Shape


def test_an_untrained_network_gives_each_label_its_frequency(tmp_path):
    targets = np.zeros((200, 3), np.float32)
    targets[:20, 0] = targets[:100, 1] = 1
    rows = examples.store([([np.array([2, 5, 6])] * 200, targets)], tmp_path)
    model = build(NetworkConfig(units=4), Shape(10, 3, ()), seed=1)
    set_output_bias(model, rows, apart=True)
    (batch, *_) = tensors(rows, sequential_batches(rows, 64), None)
    logits = model({"input_ids": batch[0], "attention_mask": batch[1]}).numpy()
    frequencies = (1 / (1 + np.exp(-logits))).mean(axis=0)
    np.testing.assert_allclose(frequencies, [0.1, 0.5, 0], atol=0.03)


@pytest.mark.parametrize("apart", [True, False])
def test_the_linear_path_has_the_bias_too_if_it_is_trained_apart(tmp_path, apart):
    targets = np.array([[1, 0]] + [[0, 1]] * 9, np.float32)
    rows = examples.store([([np.array([2, 5, 6])] * 10, targets)], tmp_path)
    model = build(NetworkConfig(units=4), Shape(10, 2, (1, 2), buckets=20), seed=1)
    set_output_bias(model, rows, apart=apart)
    bias = model.get_layer("classifier").bias.numpy()
    assert bias[0] == pytest.approx(np.log(1.5 / 9.5))
    np.testing.assert_array_equal(model.get_layer("ngrams").bias.numpy(), bias * apart)


def test_the_cost_of_paths_trained_apart_is_at_first_that_of_the_frequencies(tmp_path):
    targets = np.array([[1, 0]] + [[0, 1]] * 9, np.float32)
    rows = examples.store([([np.array([2, 5, 6])] * 10, targets)], tmp_path)
    model = build(NetworkConfig(units=4, dropout=0), Shape(10, 2, (1, 2), buckets=20), seed=1)
    set_output_bias(model, rows, apart=True)
    kernel = model.get_layer("classifier").kernel
    kernel.assign(np.zeros(kernel.shape))
    config = TrainingConfig()
    trainer = Trainer(model, make_loss(config, rows, 2, multi_label=True), config)
    (batch,) = tensors(rows, sequential_batches(rows, 64), None)
    share = 1.5 / 11
    expected = -0.1 * np.log(share) - 0.9 * np.log(1 - share)
    assert trainer.update(batch, 1e-6) == pytest.approx(expected, rel=1e-4)
