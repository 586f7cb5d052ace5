"""The example of time series: what is forecast, and from which years."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[2] / "examples" / "series" / "forecast.py"


@pytest.fixture(scope="module")
def forecast():
    spec = importlib.util.spec_from_file_location("series_forecast", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_method_forecasts_the_same_years_from_earlier_ones(forecast):
    series = forecast.observations()
    found, truth = forecast.forecasts(series, seeds=())
    np.testing.assert_array_equal(truth, series[-len(truth) :])
    np.testing.assert_array_equal(found["last year"][1:], truth[:-1])
    np.testing.assert_array_equal(found["11 years before"][11:], truth[:-11])
    errors = {name: forecast.rmse(numbers, truth) for name, numbers in found.items()}
    (autoregression,) = (error for name, error in errors.items() if name.startswith("AR"))
    assert autoregression < min(errors["last year"], errors["11 years before"])
