"""Add predicted labels to a pandas DataFrame.

python examples/frames/in_pandas.py MODEL IN.csv OUT.csv
"""

import sys

import pandas as pd

import gatewise


def main(model: str, source: str, output: str) -> None:
    """Reads a CSV file, adds the columns `predicted_label` and `predicted_score`, and writes it."""
    frame = pd.read_csv(source, dtype=str)
    frame.assign(**gatewise.score_texts(frame["text"], model)).to_csv(output, index=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
