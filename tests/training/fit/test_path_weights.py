import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from gatewise.training.evaluation.calibration import negative_log_likelihood
from gatewise.training.fit.path_weights import Prior, fit_path_weights, paths_prior


def drawn(weights, count=4000, labels=4, seed=1, multi_label=False):
    """Logits of some paths, and targets drawn with the probabilities of their weighted sum."""
    generator = np.random.default_rng(seed)
    paths = [generator.normal(0, 2, (count, labels)).astype(np.float32) for _ in weights]
    logits = sum(weight * path for weight, path in zip(weights, paths, strict=True))
    if multi_label:
        targets = (generator.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    else:
        targets = (logits + generator.gumbel(size=logits.shape)).argmax(axis=1)
    return paths, targets


def loss_of(targets, multi_label=False):
    return lambda logits: negative_log_likelihood(logits, targets, multi_label=multi_label)


def total(paths, factors):
    return sum(factor * path for factor, path in zip(factors, paths, strict=True))


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("weights", [(1.5, 0.5), (1, 2, 3)])
def test_it_finds_the_weights_of_the_targets(weights, multi_label):
    paths, targets = drawn(weights, multi_label=multi_label)
    found = fit_path_weights(paths, loss_of(targets, multi_label))
    np.testing.assert_allclose(found, np.array(weights) / np.mean(weights), rtol=0, atol=0.12)


@pytest.mark.parametrize(("count", "seed"), [(5, 0), (40, 1), (1000, 0)])
def test_it_is_never_worse_than_equal_weights(count, seed):
    """Each with its best temperature, which is chosen after the export."""
    generator = np.random.default_rng(seed)
    weights = generator.uniform(0.1, 2, 2)
    paths, targets = drawn(weights, count, seed=seed)
    loss = loss_of(targets)

    def best_loss(factors):
        logits = total(paths, factors)
        found = minimize_scalar(
            lambda log: loss(np.exp(log) * logits), bounds=(-6, 6), method="bounded"
        )
        return found.fun

    # The prior has an effect with few rows only.
    assert best_loss(fit_path_weights(paths, loss)) <= best_loss((1, 1)) + 1 / count


def test_the_weight_of_a_path_that_is_always_right_is_bounded():
    truth = np.arange(6) % 2
    right = np.eye(2, dtype=np.float32)[truth]
    noise = np.random.default_rng(1).normal(size=(6, 2)).astype(np.float32)
    first, second = fit_path_weights([right, noise], loss_of(truth))
    assert first > second > 0.02


def test_few_rows_hardly_move_the_weights_of_a_solved_path():
    """Twenty rows that the recurrent path alone has right do not decide against the linear path."""
    truth = np.arange(20) % 2
    right = 4 * np.eye(2, dtype=np.float32)[truth]
    linear = np.random.default_rng(1).normal(0, 0.1, (20, 2)).astype(np.float32)
    recurrent_factor, linear_factor = fit_path_weights(
        [right, linear], loss_of(truth), paths_prior("single_label", 8.0)
    )
    assert 0.5 < recurrent_factor < 1.5
    assert 6 < linear_factor < 10


@pytest.mark.parametrize("weights", [(1.5, 0.5), (0.3, 9)])
def test_many_rows_outweigh_the_prior(weights):
    paths, targets = drawn(weights, count=20_000)
    found = fit_path_weights(paths, loss_of(targets), Prior((0.5, 3.0), (0.5, 0.25)))
    np.testing.assert_allclose(found, weights, rtol=0.1)


@pytest.mark.parametrize("weights", [(3, 0.1), (0.05, 0.3), (1, 0)])
def test_they_are_deterministic_and_rounded_and_their_mean_is_one(weights):
    paths, targets = drawn(weights, count=300)
    paths[1] *= weights[1] > 0  # a path of zeros
    factors = fit_path_weights(paths, loss_of(targets))
    assert factors == fit_path_weights(paths, loss_of(targets))
    assert all(float(f"{factor:.4g}") == factor for factor in factors)
    assert np.mean(factors) == pytest.approx(1, abs=1e-3)
