"""How often the labels of a language model are those of the corpus, by label."""

import csv
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer


def labels_of(file: Path) -> dict[str, str]:
    """The label of each text of a corpus."""
    with file.open(encoding="utf-8", newline="") as opened:
        return {row["text"]: row["label"] for row in csv.DictReader(opened)}


def main(
    labelled: Annotated[Path, typer.Argument(help="The corpus that gatewise label wrote.")],
    truth: Annotated[Path, typer.Argument(help="The same texts with their true labels.")],
) -> None:
    """Print the agreement."""
    given, true = labels_of(labelled), labels_of(truth)
    right, all_of = Counter[str](), Counter[str]()
    for text, label in given.items():
        all_of[true[text]] += 1
        right[true[text]] += label == true[text]
    for label, number in sorted(all_of.items()):
        typer.echo(f"{label}: {right[label]:,} of {number:,}, {right[label] / number:.1%}")
    share = right.total() / all_of.total()
    typer.echo(f"all: {right.total():,} of {all_of.total():,}, {share:.1%}")


if __name__ == "__main__":
    typer.run(main)
