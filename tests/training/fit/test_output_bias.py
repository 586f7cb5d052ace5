import numpy as np

from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.data import examples
from gatewise.training.fit.dataset import sequential_batches, tensors
from gatewise.training.fit.output_bias import set_output_bias
from gatewise.training.network.build import build
from gatewise.training.network.shape import Shape


def test_an_untrained_network_gives_each_label_its_frequency(tmp_path):
    targets = np.zeros((200, 3), np.float32)
    targets[:20, 0] = targets[:100, 1] = 1
    rows = examples.store([([np.array([2, 5, 6])] * 200, targets)], tmp_path)
    model = build(NetworkConfig(units=4), Shape(10, 3, ()), seed=1)
    set_output_bias(model, rows)
    (batch, *_) = tensors(rows, sequential_batches(rows, 64), None)
    logits = model({"input_ids": batch[0], "attention_mask": batch[1]}).numpy()
    frequencies = (1 / (1 + np.exp(-logits))).mean(axis=0)
    np.testing.assert_allclose(frequencies, [0.1, 0.5, 0], atol=0.03)
