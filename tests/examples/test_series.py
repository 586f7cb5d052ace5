"""The example of series: what is forecast, from which years and days, and who spoke."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "series"


def program(name):
    spec = importlib.util.spec_from_file_location(f"series_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def forecast():
    return program("forecast")


def test_every_method_forecasts_the_same_years_from_earlier_ones(forecast):
    series = forecast.observations()
    found, truth = forecast.forecasts(series, seeds=())
    np.testing.assert_array_equal(truth, series[-len(truth) :])
    np.testing.assert_array_equal(found["last year"][1:], truth[:-1])
    np.testing.assert_array_equal(found["11 years before"][11:], truth[:-11])
    errors = {name: forecast.rmse(numbers, truth) for name, numbers in found.items()}
    (autoregression,) = (error for name, error in errors.items() if name.startswith("AR"))
    assert autoregression < min(errors["last year"], errors["11 years before"])


def test_the_picture_of_the_repository_is_drawn_by_the_program(forecast, tmp_path):
    found, truth = forecast.forecasts(forecast.observations(), seeds=())
    forecast.draw(found, truth, tmp_path / "sunspots.svg")
    drawn, kept = (
        (folder / "sunspots.svg").read_text(encoding="utf-8") for folder in (tmp_path, FOLDER)
    )
    for text in ("sunspots", "AR(9)"):
        assert f">{text}</text>" in drawn
        assert f">{text}</text>" in kept


def test_variances_are_forecast_for_the_same_days_from_earlier_ones():
    volatility = program("volatility")
    given = volatility.days()
    later = given.returns[given.test :]
    found = {name: variances for name, (_, variances) in volatility.by_others(given).items()}
    assert all(variances.shape == later.shape for variances in found.values())
    day = given.test + 5
    np.testing.assert_allclose(
        found["mean of 60 days"][5], np.square(given.returns[day - 60 : day]).mean()
    )
    # The variance of GARCH(1,1) rises after a day of a large return, not on it.
    largest = np.abs(later[:-1]).argmax()
    garch = found["GARCH(1,1)"]
    assert garch[largest + 1] > 1.2 * garch[largest]
    losses = {name: volatility.qlike(variances, later) for name, variances in found.items()}
    assert losses["GARCH(1,1)"] == min(losses.values())
    for target in volatility.TARGETS.values():
        numbers = target.variance(target.of_returns(later))
        assert np.corrcoef(numbers, np.square(later))[0, 1] > 0.99


@pytest.fixture
def sktime(tmp_path, monkeypatch, has_index):
    """sktime for its data, without the older packages that it asks for."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", tmp_path]
    subprocess.run([*pip, "sktime==1.2.0", "scikit-base==1.2.0"], check=True)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("sktime")
def test_speakers_are_told_apart():
    speakers = program("speakers")
    sequences, names = speakers.utterances("train")
    assert {len(sequences), len(names)} == {270}
    assert {each.shape[1] for each in sequences} == {12}
    assert set(names) == set("123456789")
    assert max(map(len, sequences)) <= speakers.MAX_STEPS
    found = speakers.accuracies(seeds=())
    assert len(found) == 3
    assert all(0.9 < accuracy < 1 for accuracy in found.values())
