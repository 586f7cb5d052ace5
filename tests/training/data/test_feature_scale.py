"""The scale of each feature: exact for large numbers, without missing ones."""

import numpy as np

from gatewise.training.data.feature_scale import FeatureScale
from gatewise.vocab.corpus.sequences import as_json


def test_the_scale_is_that_of_all_steps():
    generator = np.random.default_rng(1)
    numbers = generator.normal([1e6, -2], [0.5, 3], (40, 7, 2)).astype(np.float32)
    numbers[3, 2] = numbers[0, 0, 1] = np.nan
    scale = FeatureScale.of(map(as_json, numbers))
    flat = numbers.reshape(-1, 2).astype(np.float64)
    np.testing.assert_allclose(scale.mean, np.nanmean(flat, axis=0), rtol=1e-6)
    np.testing.assert_allclose(scale.deviation, np.nanstd(flat, axis=0), rtol=1e-5)


def test_constant_and_missing_features_stay_finite():
    scale = FeatureScale.of(["[[0.1, null]]", "[[0.1, null], [0.1, null]]"])
    assert scale.mean.tolist() == np.float32([0.1, 0]).tolist()
    assert scale.deviation.tolist() == [1, 1]


def test_a_deviation_too_small_for_a_runtime_is_none():
    scale = FeatureScale.of(["[1e-42, 3e-42]", "[2e-42]"])
    assert scale.deviation.tolist() == [1]


def test_without_a_scale_numbers_stay():
    scale = FeatureScale.none(2)
    assert (scale.mean.tolist(), scale.deviation.tolist()) == ([0, 0], [1, 1])
