"""Forecasts the next year's sunspots: a GRU beside AR and a seasonal-naive forecast.

    pip install statsmodels
    python examples/series/forecast.py --picture sunspots.svg

Every forecast of a test year knows all years before it (rolling origin); nothing is fitted on test
years. The order of AR is chosen by AIC.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from statsmodels.datasets import sunspots
from statsmodels.tsa.ar_model import AutoReg, ar_select_order

import gatewise
from gatewise.series import Floats, windows

STEPS, CYCLE, MAX_LAGS = 33, 11, 33
NETWORK = {"cell": "gru", "direction": "forward", "readout": "last", "units": 16, "dropout": 0.0}


def observations() -> Floats:
    """The mean number of sunspots of each year from 1700 to 2008, `(309,)`."""
    found: Floats = sunspots.load_pandas().data["SUNACTIVITY"].to_numpy()
    return found


def forecasts(series: Floats, seeds: Sequence[int]) -> tuple[dict[str, Floats], Floats]:
    """The forecasts of the test years by each method, and what came; each `(years,)`."""
    rows = windows(series, STEPS, validation=0.15, test=0.2)
    if rows.test is None:
        raise ValueError("expected test years, received none")
    first = len(series) - len(rows.test.values)
    known = series[:first]
    lags = ar_select_order(known, MAX_LAGS, ic="aic").ar_lags
    fitted = AutoReg(known, lags).fit()
    found: dict[str, Floats] = {
        "last year": series[first - 1 : -1],
        f"{CYCLE} years before": series[first - CYCLE : -CYCLE],
        f"AR({len(lags)})": AutoReg(series, lags).predict(
            fitted.params, start=first, end=len(series) - 1
        ),
    }
    for seed in seeds:
        model = gatewise.train(
            *rows.train,
            validation=rows.validation,
            task="regression",
            network=NETWORK,
            seed=seed,
            progress=False,
        )
        found[f"GRU, seed {seed}"] = np.array(model.predict(rows.test.sequences))
    return found, rows.test.values


def rmse(found: Floats, truth: Floats) -> float:
    """The root of the mean squared error."""
    return float(np.sqrt(np.square(found - truth).mean()))


def draw(found: dict[str, Floats], truth: Floats, path: Path) -> None:
    """Draws AR and the first GRU beside what came."""
    years = np.arange(2009 - len(truth), 2009)
    figure, axes = plt.subplots(figsize=(8, 3.5))
    axes.plot(years, truth, color="black", label="sunspots")
    chosen = [name for name in found if name.startswith(("AR", "GRU"))][:2]
    for name in chosen:
        axes.plot(years, found[name], label=name)
    axes.legend()
    # Texts as texts, and the same bytes in every run.
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "sunspots"}):
        figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


def main() -> None:
    """Prints the RMSE of each method."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    found, truth = forecasts(observations(), arguments.seeds)
    sys.stdout.write(f"{len(truth)} test years\n")
    for name, numbers in found.items():
        sys.stdout.write(f"{name:20} RMSE {rmse(numbers, truth):.1f}\n")
    if arguments.picture:
        draw(found, truth, arguments.picture)


if __name__ == "__main__":
    main()
