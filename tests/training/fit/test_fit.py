from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.config.training_section import Optimizer, TrainingConfig
from gatewise.training.data import examples
from gatewise.training.fit.checkpoint import CheckpointError, Checkpoints
from gatewise.training.fit.dataset import Batches, tensors
from gatewise.training.fit.fit import DivergedError, fit
from gatewise.training.fit.loss import make_loss
from gatewise.training.fit.progress import Finding, Progress
from gatewise.training.fit.train_step import Trainer
from gatewise.training.network.build import build
from gatewise.training.network.shape import Shape

SHAPE = Shape(vocab_size=30, classes=2, ngrams=(1,))
NETWORK = NetworkConfig(units=4, embedding_size=4)


def two_topics(folder, count, seed, noise=0.0):
    """Texts of tokens 3-15 or 16-28, which is their label; a share of labels may be wrong."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, count).astype(np.int32)
    ids = [generator.integers(3 + 13 * label, 16 + 13 * label, 6) for label in labels]
    wrong = generator.random(count) < noise
    targets = np.where(wrong, 1 - labels, labels).astype(np.int32)
    return examples.store([(ids, targets)], folder / f"{count}-{seed}-{noise}")


class StoppedError(Exception):
    """Raised by a callback to end a run."""


class Fit:
    """One network, its rows and its checkpoint."""

    def __init__(self, folder, noise=0.0, shape=SHAPE, network_config=NETWORK, **settings):
        defaults = {"epochs": 6, "averaging": 0.9, "patience": 2, "batch_size": 16}
        self.config = TrainingConfig(**{**defaults, **settings})
        self.train = two_topics(folder, 200, seed=1, noise=noise)
        self.validation = two_topics(folder, 100, seed=2)
        self.network_config, self.shape = network_config, shape
        self.path = folder / "checkpoint.npz"
        self.progress = []

    def run(self, resume=False, stop_at=None, weights=None):
        self.model = build(self.network_config, self.shape, self.config.seed)
        if weights:
            self.model.set_weights(weights)

        def on_progress(progress):
            self.progress.append(progress)
            if stop_at is not None and progress.step == stop_at:
                raise StoppedError

        loss = make_loss(self.config, self.train, self.shape.classes, multi_label=False)
        return fit(
            Trainer(self.model, loss, self.config),
            self.config,
            self.train,
            self.validation,
            Checkpoints(self.path, {"training": self.config.model_dump(mode="json")}),
            on_progress,
            resume=resume,
        )

    def accuracy(self):
        rows = np.arange(len(self.validation))
        ids = np.stack(self.validation.ids(rows))
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        logits = self.model(inputs, training=False)
        return float((np.argmax(logits, axis=1) == self.validation.targets(rows)).mean())


def weights_of(run):
    return [array.tobytes() for array in run.model.get_weights()]


def test_it_learns_reports_every_update_and_is_not_resumed_once_it_ended(tmp_path):
    run = Fit(tmp_path, metric="micro_f1", epochs=10, patience=10)
    result = run.run()
    assert result.metric == "micro_f1"
    assert result.best.metric > 0.95
    assert result.epochs[-1].loss < result.epochs[0].loss
    assert run.accuracy() == pytest.approx(result.best.metric)
    assert "has settled" in result.findings[-1]
    progress = [event for event in run.progress if isinstance(event, Progress)]
    assert [event.epoch for event in progress if event.epoch] == list(result.epochs)
    assert [event.step for event in progress if not event.epoch] == list(range(1, 131))
    assert {event.steps for event in progress} == {130}
    assert [epoch.updates for epoch in result.epochs] == list(range(13, 131, 13))
    weights = weights_of(run)
    run.progress.clear()
    assert run.run(resume=True) == result
    assert weights_of(run) == weights
    assert run.progress == []


@pytest.mark.parametrize("settings", [{"averaging": 0.0}, {"metric": "loss"}], ids=str)
def test_the_best_weights_are_kept_and_training_stops_early(settings, tmp_path):
    run = Fit(tmp_path, noise=0.5, patience=1, epochs=30, **settings)
    result = run.run()
    if "metric" in settings:
        order = [-epoch.metric for epoch in result.epochs]
        # The loss of the calibrated logits.
        assert all(epoch.metric < epoch.validation_loss for epoch in result.epochs)
    else:
        order = [(epoch.metric, -epoch.validation_loss) for epoch in result.epochs]
        assert run.accuracy() == pytest.approx(result.best.metric)
    assert len(result.epochs) < 30
    assert result.best.number == order.index(max(order)) + 1 < len(order)


@pytest.mark.parametrize("optimizer", get_args(Optimizer))
def test_every_optimizer_makes_updates(optimizer, tmp_path):
    import keras

    ids = keras.Input((None,), dtype="int32", name="input_ids")
    mask = keras.Input((None,), dtype="int32", name="attention_mask")
    mean = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(30, 4)(ids))
    logits = keras.layers.Dense(2, name="classifier")(mean)
    model = keras.Model({"input_ids": ids, "attention_mask": mask}, logits)
    train = two_topics(tmp_path, 32, seed=3)
    config = TrainingConfig(optimizer=optimizer, clip_norm=1.0, batch_size=16, averaging=0.9)
    loss = make_loss(config, train, 2, multi_label=False)
    trainer = Trainer(model, loss, config)
    before = trainer.weights()
    for batch in tensors(train, Batches(train, 16, seed=1).epoch(1), None):
        assert np.isfinite(trainer.update(batch, 0.1))
    changed = [(a != b).any() for a, b in zip(before, trainer.weights(), strict=True)]
    assert all(changed)


def test_training_ends_after_max_updates(tmp_path):
    result = Fit(tmp_path, max_updates=20).run()
    assert [epoch.updates for epoch in result.epochs] == [13, 20]


def test_the_same_seed_gives_the_same_weights_bit_for_bit(tmp_path):
    config = NetworkConfig(cell="gru", units=4, embedding_size=4)
    first, again = (Fit(tmp_path, network_config=config, epochs=2) for _ in range(2))
    assert first.run() == again.run()
    assert weights_of(first) == weights_of(again)


DROPOUTS = ["dropout", "word_dropout", "embedding_dropout", "input_dropout"]
DROPOUTS += ["recurrent_dropout", "weight_drop"]


@pytest.mark.parametrize(
    ("optimizer", "network", "stops"),
    [
        # With row updates; before a checkpoint, at an epoch's end and within one.
        ("adamw", {"cell": "gru", "readout": "attention"}, (3, 13, 29)),
        # With dense updates.
        ("sgd", {"cell": "lstm", "input": "one_hot", "readout": "last"}, (14,)),
    ],
)
def test_a_stopped_run_with_every_dropout_resumes_to_the_same_bytes(
    optimizer, network, stops, tmp_path
):
    shares = dict.fromkeys(DROPOUTS, 0.1)
    config = NetworkConfig(units=4, embedding_size=4, **network, **shares)
    settings = {"noise": 0.2, "checkpoint_updates": 5, "epochs": 3, "optimizer": optimizer}
    uninterrupted = Fit(tmp_path, network_config=config, **settings)
    expected = uninterrupted.run()
    assert expected.epochs[-1].loss < expected.epochs[0].loss
    uninterrupted.path.unlink()
    resumed = Fit(tmp_path, network_config=config, **settings)
    for stop_at in stops:
        with pytest.raises(StoppedError):
            resumed.run(resume=True, stop_at=stop_at)
    assert resumed.run(resume=True) == expected
    assert weights_of(resumed) == weights_of(uninterrupted)


@pytest.mark.parametrize("group", ["variables", "best_weights"])
@pytest.mark.parametrize(
    "changed", [lambda arrays: arrays[1:], lambda arrays: [arrays[0][1:], *arrays[1:]]]
)
def test_a_checkpoint_that_does_not_fit_the_network_is_refused(tmp_path, group, changed):
    run = Fit(tmp_path, epochs=2)
    with pytest.raises(StoppedError):
        run.run(stop_at=20)
    checkpoints = Checkpoints(run.path, {"training": run.config.model_dump(mode="json")})
    saved = checkpoints.load()
    checkpoints.save(replace(saved, **{group: changed(getattr(saved, group))}))
    message = f"{run.path}: the checkpoint does not fit .* Delete the folder {tmp_path}, or train"
    with pytest.raises(CheckpointError, match=message):
        run.run(resume=True)


def test_a_cost_that_diverges_lowers_the_rate_and_the_run_still_learns(tmp_path):
    run = Fit(tmp_path, noise=0.2, learning_rate=100.0, epochs=8, patience=8)
    result = run.run()
    found = [finding for finding in result.findings if "diverges" in finding]
    assert "the learning rate 100 is too large" in found[0]
    assert "continues with 10" in found[0]
    assert result.best.metric > 0.8
    assert all(np.isfinite(array).all() for array in run.model.get_weights())
    found = [event.message for event in run.progress if isinstance(event, Finding)]
    assert found == list(result.findings)


def test_useless_weights_are_not_restored(tmp_path):
    """With few updates per epoch the smoothed cost lags behind the weights."""
    run = Fit(tmp_path, noise=0.2, learning_rate=3.0, batch_size=128, epochs=12, patience=12)
    result = run.run()
    assert any("diverges" in finding for finding in result.findings)
    assert result.best.metric > 0.8


def test_a_single_update_is_not_called_flat(tmp_path):
    run = Fit(tmp_path, max_updates=1)
    assert run.run().findings == ()
    untrained = build(NETWORK, SHAPE, run.config.seed).get_weights()
    changed = zip(run.model.get_weights(), untrained, strict=True)
    assert any((a != b).any() for a, b in changed)


def rare_label(folder, count, share, seed):
    """Texts whose tokens determine their label; one label is rare."""
    generator = np.random.default_rng(seed)
    labels = (generator.random(count) < share).astype(np.int32)
    labels[:2] = (0, 1)
    ids = [generator.integers(3 + 13 * label, 16 + 13 * label, 6) for label in labels]
    return examples.store([(ids, labels)], folder / f"rare-{share}-{seed}")


@pytest.mark.parametrize("rate", [3e-3, "auto"])
def test_class_weights_are_not_mistaken_for_divergence(tmp_path, rate):
    """The loss of a batch is small without a row of the rare label, and large with one."""
    run = Fit(tmp_path, class_weights="balanced", learning_rate=rate, metric="macro_f1", epochs=4)
    run.train = rare_label(tmp_path, 1500, 0.01, seed=1)
    run.validation = rare_label(tmp_path, 500, 0.05, seed=2)
    result = run.run()
    assert not any("diverges" in finding for finding in result.findings)
    assert result.best.metric > 0.9


def test_another_label_distribution_in_validation_is_not_mistaken_for_divergence(tmp_path):
    run = Fit(tmp_path, epochs=3)
    run.train = rare_label(tmp_path, 600, 0.01, seed=1)
    run.validation = rare_label(tmp_path, 200, 0.7, seed=2)
    assert not any("diverges" in finding for finding in run.run().findings)


def test_divergence_at_every_rate_is_an_error(tmp_path):
    with pytest.raises(DivergedError, match=r"after 8 reductions: try a smaller training\."):
        Fit(tmp_path, learning_rate=1e38).run()


def test_a_flat_cost_is_reported(tmp_path):
    result = Fit(tmp_path, learning_rate=1e-7, epochs=3).run()
    assert "the cost is flat" in result.findings[0]
    assert "learning rate 1e-07 is too small" in result.findings[0]


@pytest.mark.parametrize(("path", "is_flat"), [("solved", False), ("descended", True)])
def test_a_network_that_fits_before_the_first_update_is_flat_unless_its_path_is_solved(
    path, is_flat, tmp_path
):
    trained = Fit(tmp_path, epochs=3)
    trained.run()
    again = Fit(tmp_path / "again", linear_path=path, learning_rate=1e-6, epochs=3, seed=5)
    again.validation = two_topics(tmp_path, 100, seed=2, noise=0.3)
    findings = again.run(weights=trained.model.get_weights()).findings
    assert any("the cost is flat" in finding for finding in findings) == is_flat


def test_the_learning_rate_range_test(tmp_path):
    run = Fit(tmp_path, learning_rate="auto")
    result = run.run()
    test = result.rate_test
    assert 1e-4 <= test.chosen <= 1
    assert list(test.rates) == sorted(test.rates)
    assert len(test.rates) == len(test.losses) > 50
    assert result.best.metric > 0.95
    assert f"training.learning_rate={test.chosen:.2g}" in result.findings[0]
