import numpy as np
import pytest

from training import network
from training.dataset import Examples
from training.fit import DivergedError, fit
from training.settings.network import NetworkConfig
from training.settings.training import TrainingConfig

SHAPE = network.Shape(vocab_size=30, classes=2, ngrams=(1,))


def two_topics(count, seed, noise=0.0):
    """Texts of tokens 3-15 or 16-28, told apart by which; a share of labels may be wrong."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, count).astype(np.int32)
    ids = [generator.integers(3 + 13 * label, 16 + 13 * label, 6) for label in labels]
    wrong = generator.random(count) < noise
    return Examples(ids=ids, labels=np.where(wrong, 1 - labels, labels).astype(np.int32))


def fitted(noise=0.0, averaging=0.9, patience=2, epochs=6, seed=1):
    model = network.build(NetworkConfig(units=4, embedding_size=4, buckets=10), SHAPE, seed)
    progress = []
    result = fit(
        model,
        TrainingConfig(
            epochs=epochs, averaging=averaging, patience=patience, batch_size=16, seed=seed
        ),
        two_topics(200, seed=1, noise=noise),
        two_topics(100, seed=2),
        progress.append,
    )
    return model, result, progress


def accuracy_of(model):
    data = two_topics(100, seed=2)
    ids = np.stack(data.ids)
    logits = model({"input_ids": ids, "attention_mask": np.ones_like(ids)}, training=False)
    return float((np.argmax(logits, axis=1) == data.labels).mean())


def test_it_learns():
    model, result, _ = fitted()
    assert result.best.validation_accuracy > 0.95
    assert result.epochs[-1].loss < result.epochs[0].loss
    assert accuracy_of(model) == pytest.approx(result.best.validation_accuracy)


@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_the_best_weights_are_kept_and_training_stops_early(averaging):
    model, result, _ = fitted(noise=0.5, averaging=averaging, patience=1, epochs=30)
    accuracies = [epoch.validation_accuracy for epoch in result.epochs]
    assert len(result.epochs) < 30
    assert result.best.validation_accuracy == max(accuracies)
    assert result.best.number == accuracies.index(max(accuracies)) + 1 < len(accuracies)
    assert accuracy_of(model) == pytest.approx(max(accuracies))


@pytest.mark.parametrize(
    ("cell", "direction", "readout", "ngrams"),
    [
        ("gru", "backward", "last", ()),
        ("lstm", "bidirectional", "max", ()),
        ("rnn", "forward", "mean", (1, 2)),
        ("gru", "bidirectional", "max_mean", ()),
    ],
)
def test_every_kind_of_network_can_be_fitted(cell, direction, readout, ngrams):
    config = NetworkConfig(
        cell=cell, direction=direction, readout=readout, layers=2, units=4, embedding_size=4
    )
    model = network.build(config, network.Shape(30, 2, ngrams), seed=1)
    result = fit(
        model,
        TrainingConfig(epochs=1, batch_size=16),
        two_topics(64, seed=1),
        two_topics(32, seed=2),
        lambda _: None,
    )
    assert np.isfinite(result.best.loss)


def test_progress_tells_every_update_and_epoch():
    _, result, progress = fitted(epochs=2, patience=5)
    assert [told.epoch for told in progress if told.epoch] == list(result.epochs)
    steps = [told.step for told in progress if not told.epoch]
    assert steps == list(range(1, 27))
    assert {told.steps for told in progress} == {26}


def test_the_same_seed_gives_the_same_weights_bit_for_bit():
    first, again, other = fitted()[0], fitted()[0], fitted(seed=2)[0]
    for a, b in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(
        (a != b).any() for a, b in zip(first.get_weights(), other.get_weights(), strict=True)
    )


def test_a_loss_without_bound_is_told_and_nothing_is_kept():
    model = network.build(NetworkConfig(units=4, embedding_size=4, buckets=10), SHAPE, seed=1)
    data = two_topics(64, seed=1)
    with pytest.raises(DivergedError, match=r"in epoch \d; lower training\.learning_rate"):
        fit(model, TrainingConfig(epochs=5, learning_rate=1e38), data, data, lambda _: None)
