"""Takes a language model's preference for a label out of the probabilities that it gave.

Each label's probabilities are divided by their mean, and those of a text add up to one again. That
is right where all labels are about as frequent, which has to be known: here it is.
"""

import csv
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

_PREFIX = "probability_"


def main(
    source: Annotated[Path, typer.Argument(help="A file that gatewise label wrote.")],
    target: Annotated[Path, typer.Argument(help="The corpus to write.")],
) -> None:
    """Write the texts with balanced probabilities, those without a label left out."""
    with source.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"]]
    columns = [name for name in rows[0] if name.startswith(_PREFIX)]
    shares = np.array([[float(row[name]) for name in columns] for row in rows])
    shares /= shares.mean(axis=0)
    shares /= shares.sum(axis=1, keepdims=True)
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["text", "label", *columns])
        for row, values in zip(rows, shares, strict=True):
            label = columns[values.argmax()].removeprefix(_PREFIX)
            writer.writerow([row["text"], label, *(f"{value:.4f}" for value in values)])


if __name__ == "__main__":
    typer.run(main)
