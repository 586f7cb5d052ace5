"""Where a network is trained: the processor, one GPU, or every GPU of the machine.

Knows TensorFlow's devices and nothing of networks.
"""

import tensorflow as tf


def share_out(threads: int) -> None:
    """Sets how many threads each operation has on a processor.

    Operations that do not wait for each other, as the two directions of a layer do not, run side
    by side in any case. A product of small matrices that is divided among threads takes longer
    than on one: with 64 units, an update takes half the time on two cores with one thread each.

    TensorFlow takes this before its first operation alone; after that, all stays as it is.

    Args:
        threads: Threads of one operation; 0 for as many as there are cores.
    """
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError:
        return


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
