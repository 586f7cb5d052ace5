"""Texts of a pandas frame with their labels.

python examples/frames/in_pandas.py MODEL IN.csv OUT.csv
"""

import sys

import pandas as pd

import gatewise


def main(model: str, source: str, output: str) -> None:
    """Reads a table, adds the columns `label` and `score`, writes it."""
    frame = pd.read_csv(source, dtype=str)
    frame.assign(**gatewise.score_texts(frame["text"], model)).to_csv(output, index=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
