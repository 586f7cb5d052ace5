"""Where a network is trained: the processor, one GPU, or every GPU of the machine.

Knows TensorFlow's devices and nothing of networks.
"""

import tensorflow as tf


def strategy(devices: list[str] | None = None) -> tf.distribute.Strategy:
    """One replica for each GPU where there are several, and TensorFlow's own choice otherwise.

    Replicas take equal parts of each batch and sum their gradients, so the batch size is that of
    all of them together.

    Args:
        devices: Devices to use, such as `["CPU:0", "CPU:1"]`; by default every GPU.
    """
    names = devices or [
        device.name.removeprefix("/physical_device:")
        for device in tf.config.list_physical_devices("GPU")
    ]
    if len(names) > 1:
        return tf.distribute.MirroredStrategy(names)
    return tf.distribute.get_strategy()
