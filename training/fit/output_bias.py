"""The initial bias of a multi-label network's output: the log-odds of each label.

Most labels are absent from most texts. A network that starts at a probability of one half for each
spends its first epochs, and the highest learning rates, on learning just that.
"""

import keras
import numpy as np

from gatewise.training.data.examples import Examples
from gatewise.training.fit.loss import label_sums
from gatewise.training.network.build import PATHS


def set_output_bias(model: keras.Model, train: Examples, *, apart: bool) -> None:
    """Sets the bias of the recurrent path's logits to the log-odds of each label.

    A label that no row has, or every row, counts half a row more on either side.

    Args:
        model: From `gatewise.training.network.build`, for a task with several labels a text.
        train: The training rows.
        apart: Whether the linear path is trained with a loss of its own. Then it has the same bias.
    """
    names = PATHS if apart else PATHS[:1]
    biases = [layer.bias for layer in model.layers if layer.name in names]
    sums = label_sums(train, int(biases[0].shape[0]))
    log_odds = np.log((sums + 0.5) / (len(train) - sums + 0.5)).astype(np.float32)
    for bias in biases:
        bias.assign(log_odds)
