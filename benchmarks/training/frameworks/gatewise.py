"""The network in Gatewise: its own layers, batches and updates, without the n-gram path."""

from pathlib import Path
from tempfile import TemporaryDirectory

from gatewise import training  # noqa: F401  # sets TensorFlow's environment, so it goes before TensorFlow

# isort: split
import tensorflow as tf

from benchmarks.training.frameworks.shared import (
    EncodedTexts,
    EpochTimer,
    Recipe,
    TrainingRun,
)
from gatewise.training.config import config as configs
from gatewise.training.config.config import Config
from gatewise.training.data import examples
from gatewise.training.fit import devices
from gatewise.training.fit.dataset import Batches, tensors
from gatewise.training.fit.loss import make_loss
from gatewise.training.fit.train_step import Trainer
from gatewise.training.fit.validation import validate
from gatewise.training.network.build import build
from gatewise.training.network.shape import Shape


def settings(recipe: Recipe) -> Config:
    """The recipe as Gatewise's settings; everything else is off."""
    return configs.load(
        assignments=[
            f"network.cell={recipe.cell}",
            f"network.units={recipe.units}",
            f"network.embedding_size={recipe.embedding_size}",
            f"network.dropout={recipe.dropout}",
            "network.readout=last",
            "network.ngrams=[]",
            "network.word_dropout=0.0",
            "network.input_dropout=0.0",
            f"training.batch_size={recipe.batch_size}",
            f"training.epochs={recipe.epochs}",
            f"training.learning_rate={recipe.learning_rate}",
            f"training.weight_decay={recipe.weight_decay}",
            f"training.seed={recipe.seed}",
            "training.averaging=0.0",
        ]
    )


def fit(recipe: Recipe, train: EncodedTexts, test: EncodedTexts) -> TrainingRun:
    """Batches of texts of similar length, as `gatewise train` makes them."""
    config = settings(recipe)
    if config.training.deterministic:
        tf.config.experimental.enable_op_determinism()
    devices.set_operation_threads(config.training.threads)
    shape = Shape(recipe.vocab_size, recipe.classes, ())
    with devices.strategy().scope():
        model = build(config.network, shape, recipe.seed)
    with TemporaryDirectory() as folder:
        # On disk, where Gatewise's batches read them.
        train_rows, test_rows = (
            examples.store([(part.ids, part.targets)], Path(folder) / name)
            for part, name in ((train, "train"), (test, "test"))
        )
        loss = make_loss(config.training, train_rows, recipe.classes, multi_label=False)
        trainer = Trainer(model, loss, config.training)
        batches = Batches(train_rows, recipe.batch_size, recipe.seed)
        epochs = EpochTimer()
        for number in range(1, recipe.epochs + 1):
            with epochs.epoch():
                for batch in tensors(train_rows, batches.epoch(number), loss.row_weights):
                    trainer.update(batch, recipe.learning_rate)
        accuracy = validate(trainer, test_rows, "accuracy", multi_label=False).metric
    return epochs.run(accuracy, model.count_params())
