"""Tells nine speakers apart by two vowels: an LSTM beside linear models and the nearest neighbour.

    pip install sktime
    python examples/series/speakers.py

The utterances (Kudo, Toyama and Shimbo, 1999; UCI, CC BY 4.0) come with sktime: 7 to 29 steps of 12
coefficients each, 270 to train on and 370 to test.
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sktime.datasets import load_japanese_vowels

import gatewise

MAX_STEPS = 29

Sequences = list[NDArray[np.float64]]


def utterances(split: str) -> tuple[Sequences, list[str]]:
    """The utterances of `train` or `test`, `(steps, 12)` each, and their speakers."""
    frame, speakers = load_japanese_vowels(split=split)
    return [np.stack(list(row), axis=1) for row in frame.to_numpy()], speakers.tolist()


def padded(sequences: Sequences) -> NDArray[np.float64]:
    """Each sequence as one row of numbers, with zeros after its end."""
    rows = [np.pad(each, ((0, MAX_STEPS - len(each)), (0, 0))).ravel() for each in sequences]
    return np.stack(rows)


def means(sequences: Sequences) -> NDArray[np.float64]:
    """The mean step of each sequence."""
    return np.stack([each.mean(axis=0) for each in sequences])


def accuracies(seeds: Sequence[int]) -> dict[str, float]:
    """The accuracy on the test rows of each method."""
    train, test = utterances("train"), utterances("test")
    found = {}
    for name, rows_of, estimator in (
        ("nearest neighbour, padded", padded, KNeighborsClassifier(1)),
        ("logistic regression, mean step", means, LogisticRegression(max_iter=1000)),
        ("logistic regression, padded", padded, LogisticRegression(max_iter=1000)),
    ):
        baseline = make_pipeline(StandardScaler(), estimator).fit(rows_of(train[0]), train[1])
        found[name] = float(baseline.score(rows_of(test[0]), test[1]))
    for seed in seeds:
        model = gatewise.train(*train, seed=seed, progress=False)
        found[f"LSTM, seed {seed}"] = float(np.mean(np.array(model.predict(test[0])) == test[1]))
    return found


def main() -> None:
    """Prints the accuracy of each method."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    for name, accuracy in accuracies(parser.parse_args().seeds).items():
        sys.stdout.write(f"{name:32} accuracy {accuracy:.3f}\n")


if __name__ == "__main__":
    main()
