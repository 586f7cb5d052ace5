"""Where a network is trained: the processor, one GPU, or every GPU of the machine.

Knows TensorFlow's devices, and of a network only how wide it is.
"""

import tensorflow as tf

_WIDE = 256
"""Units of a layer from which on one operation has work for several threads."""


def share_out(units: int) -> None:
    """Has each operation run on one thread, where the network's are too small to be divided.

    Operations that do not wait for each other, as the two directions of a layer do not, then run
    side by side. A product of small matrices that is divided among threads takes longer than on
    one: with 64 units, an update takes half the time on two cores.

    TensorFlow takes this before its first operation alone; after that, all stays as it is.

    Args:
        units: Units of a recurrent layer, in one direction.
    """
    threading = tf.config.threading
    # What somebody has set stands.
    if units >= _WIDE or threading.get_intra_op_parallelism_threads():
        return
    try:
        threading.set_intra_op_parallelism_threads(1)
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
