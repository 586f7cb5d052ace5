"""Forecasts the variance of the next day's oil price: a GRU beside GARCH(1,1).

    pip install arch
    python examples/series/volatility.py

Every forecast of a test day knows all days before it (rolling origin); nothing is fitted or chosen
on test days. The daily prices of West Texas Intermediate, 1986 to 2019, come with `arch`.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from arch import arch_model
from arch.data import wti

import gatewise
from gatewise.series import Floats, windows

STEPS = 60
NETWORK = {"cell": "gru", "direction": "forward", "readout": "last", "units": 16, "dropout": 0.0}
LEAST = 0.1  # of what a network predicts, which may be below zero


class Target(NamedTuple):
    """What the network predicts of a return, and the variance that follows up to a factor."""

    of_returns: Callable[[Floats], Floats]
    variance: Callable[[Floats], Floats]
    loss: str = "squared"


TARGETS = {
    "squared return": Target(np.square, lambda found: np.maximum(found, LEAST)),
    "squared return, Huber": Target(np.square, lambda found: np.maximum(found, LEAST), "huber"),
    "logarithm": Target(lambda returns: np.log(np.square(returns) + 0.01), np.exp),
    "absolute return": Target(np.abs, lambda found: np.square(np.maximum(found, LEAST))),
}


class Forecasts(NamedTuple):
    """The variances forecast for the validation days, None if those were fitted, and test days."""

    validation: Floats | None
    test: Floats


class Days(NamedTuple):
    """The returns, in percent, and the places of the first validation and test day."""

    returns: Floats
    validation: int
    test: int


def days() -> Days:
    """The daily returns, `(8320,)`, of which 15 % validate and the latest 20 % are forecast."""
    prices = wti.load()["DCOILWTICO"].dropna().to_numpy()
    returns: Floats = 100 * np.diff(np.log(prices))
    rows = windows(returns, STEPS, validation=0.15, test=0.2)
    if rows.validation is None or rows.test is None:
        raise ValueError("expected validation and test days, received none")
    test = len(returns) - len(rows.test.values)
    return Days(returns, test - len(rows.validation.values), test)


def qlike(variances: Floats, returns: Floats) -> float:
    """The mean loss of a forecast variance h: r²/h + log h, least in expectation for the true."""
    return float((np.square(returns) / variances + np.log(variances)).mean())


def rmse(variances: Floats, returns: Floats) -> float:
    """The root of the mean squared distance to the squared returns."""
    return float(np.sqrt(np.square(variances - np.square(returns)).mean()))


def by_others(given: Days) -> dict[str, Forecasts]:
    """The forecasts of the mean, of a moving mean, and of GARCH fitted on the days before."""
    returns, _, first = given
    squares = np.square(returns)
    moving = np.lib.stride_tricks.sliding_window_view(squares, STEPS).mean(axis=1)
    fitted = arch_model(returns, mean="Constant", vol="GARCH", p=1, q=1).fit(
        last_obs=first, disp="off"
    )
    garch = fitted.forecast(start=first - 1, horizon=1).variance.to_numpy()[:-1, 0]
    return {
        "mean of the days before": Forecasts(None, np.full(len(garch), squares[:first].mean())),
        f"mean of {STEPS} days": Forecasts(None, moving[first - STEPS : -1]),
        "GARCH(1,1)": Forecasts(None, garch),
    }


def by_network(given: Days, target: Target, seed: int) -> Forecasts:
    """The forecasts of a GRU, whose factor makes QLIKE least on the validation days."""
    returns = given.returns
    observed = np.stack([returns, np.abs(returns)], axis=1)
    rows = windows(observed, STEPS, target=target.of_returns(returns), validation=0.15, test=0.2)
    model = gatewise.train(
        *rows.train,
        validation=rows.validation,
        task="regression",
        network=NETWORK,
        seed=seed,
        progress=False,
        loss=target.loss,
    )
    validation, test = (
        target.variance(np.asarray(model.predict(part.sequences), dtype=np.float64))
        for part in (rows.validation, rows.test)
        if part is not None
    )
    squares = np.square(returns[given.validation : given.test])
    factor = float((squares / validation).mean())
    return Forecasts(factor * validation, factor * test)


def show(name: str, found: Forecasts, given: Days) -> None:
    """Prints the losses of forecasts."""
    returns, validation, test = given
    line = f"{name:32} QLIKE {qlike(found.test, returns[test:]):.3f}"
    line += f"  RMSE {rmse(found.test, returns[test:]):.2f}"
    if found.validation is not None:
        line += f"  (validation: QLIKE {qlike(found.validation, returns[validation:test]):.3f})"
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints QLIKE and RMSE of each method."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args(arguments)
    given = days()
    sys.stdout.write(f"{len(given.returns) - given.test} test days\n")
    for name, found in by_others(given).items():
        show(name, found, given)
    for name, target in TARGETS.items():
        for seed in options.seeds:
            show(f"GRU, {name}, seed {seed}", by_network(given, target, seed), given)


if __name__ == "__main__":
    main()
