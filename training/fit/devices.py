"""The devices of training: threads of the CPU, one GPU, or every GPU of the machine."""

import keras
import tensorflow as tf


def set_operation_threads(threads: int) -> None:
    """Sets the number of CPU threads of each TensorFlow operation.

    Independent operations, such as the two directions of a layer, run in parallel in any case. A
    product of small matrices takes longer divided among threads: with 64 units, an update on two
    cores takes half the time with one thread for each operation.

    TensorFlow accepts this before its first operation only; later calls have no effect.

    Args:
        threads: Threads of an operation; 0 for one for each core.
    """
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError:
        return


def strategy(devices: list[str] | None = None) -> tf.distribute.Strategy:
    """One replica for each GPU if there are several, TensorFlow's default strategy otherwise.

    Replicas take equal parts of each batch and sum their gradients, so the batch size is that of
    all replicas together.

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


def free_session() -> None:
    """Frees what TensorFlow keeps of a finished run, so that repeated runs need no more memory.

    Every run traces functions of its own; TensorFlow takes that for a mistake and warns.
    """
    tf.get_logger().setLevel("ERROR")
    keras.utils.clear_session()
