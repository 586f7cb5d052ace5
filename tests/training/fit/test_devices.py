import subprocess
import sys

# Threads and logical devices must be set before TensorFlow starts, so this runs in its own process.
SCRIPT = """
import sys
from pathlib import Path
import numpy as np
import tensorflow as tf

from gatewise.training.fit import devices
from gatewise.training.data import examples
from gatewise.training.network.build import build
from gatewise.training.network.shape import Shape
from gatewise.training.fit.dataset import Batches, tensors
from gatewise.training.fit.train_step import Trainer
from gatewise.training.fit.loss import make_loss
from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.config.training_section import TrainingConfig

for threads in (1, 3, 0):
    devices.set_operation_threads(threads)
    print(tf.config.threading.get_intra_op_parallelism_threads())

cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)

# Two replicas make the same updates as one device.
random = np.random.default_rng(1)
ids = [random.integers(3, 30, random.integers(2, 9)) for _ in range(50)]
labels = random.integers(0, 2, 50).astype(np.int32)
train = examples.store([(ids, labels)], Path(sys.argv[1]))
config = TrainingConfig(
    batch_size=7, optimizer="sgd", class_weights="balanced", clip_norm=0.05, averaging=0.9
)
shape = Shape(vocab_size=30, classes=2, ngrams=(1, 2), buckets=10)
drops = dict.fromkeys(["dropout", "word_dropout", "input_dropout"], 0.0)
still = NetworkConfig(units=4, embedding_size=4, **drops)
found = []
for strategy in (devices.strategy(), devices.strategy(["CPU:0", "CPU:1"])):
    with strategy.scope():
        model = build(still, shape, seed=1)
    loss = make_loss(config, train, 2, multi_label=False)
    trainer = Trainer(model, loss, config)
    # The last batch has one text, fewer than there are replicas.
    batches = tensors(train, Batches(train, 7, seed=1).epoch(1), loss.row_weights)
    losses = [trainer.update(batch, 0.1) for batch in batches]
    with trainer.averaged():
        averages = trainer.weights()
    state = trainer.state()
    trainer.restore(state)
    found.append((losses, trainer.weights(), averages))
    print(model.distribute_strategy.num_replicas_in_sync)
for one, two in zip(*found, strict=True):
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)

devices.set_operation_threads(1)
print(tf.config.threading.get_intra_op_parallelism_threads())
"""


def test_threads_of_an_operation_and_replicas(tmp_path):
    command = [sys.executable, "-c", SCRIPT, tmp_path]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    threads = ["1", "3", "0"]
    # Once TensorFlow has started its threads stay as they are.
    assert ended.stdout.split() == [*threads, "1", "2", "0"]
