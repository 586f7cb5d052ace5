"""The initial bias of a multi-label network's output: the log-odds of each label.

Most labels are absent from most texts. A network that starts at a probability of one half for each
spends its first epochs, and the highest learning rates, on learning just that.
"""

import keras
import numpy as np

from gatewise.training.data.examples import Examples
from gatewise.training.fit.loss import label_sums


def set_output_bias(model: keras.Model, train: Examples) -> None:
    """Sets the bias of the recurrent path's logits to the log-odds of each label.

    A label that no row has, or every row, counts half a row more on either side.

    Args:
        model: From `gatewise.training.network.build`, for a task with several labels a text.
        train: The training rows.
    """
    _, bias = model.get_layer("classifier").weights
    sums = label_sums(train, int(bias.shape[0]))
    bias.assign(np.log((sums + 0.5) / (len(train) - sums + 0.5)).astype(np.float32))
