"""Pooling: the logits of a text from those of its windows."""

import numpy as np
from numpy.typing import NDArray


def pool_windows(logits: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """The logits of texts: the mean of their windows' logits.

    The windows are added one after another, so that a text's logits depend on its own windows only.
    A text of one window keeps its logits as they are.

    >>> logits = np.array([[1, 0], [2, 5], [4, 6]], dtype=np.float32)
    >>> pool_windows(logits, np.array([1, 2])).tolist()
    [[1.0, 0.0], [3.0, 5.5]]

    Args:
        logits: The logits of the windows, float32, shape `(windows, classes)`: those of the first
            text, of the second, and so on.
        counts: The number of windows of each text, at least 1, int64, shape `(texts,)`.

    Returns:
        float32, shape `(texts, classes)`.
    """
    firsts = counts.cumsum() - counts
    sums = logits[firsts].astype(np.float64)
    for number in range(1, counts.max(initial=1)):
        longer = counts > number
        sums[longer] += logits[firsts[longer] + number]
    means: NDArray[np.float64] = sums / counts[:, None]
    return means.astype(np.float32)
