"""Texts without labels, and a test set with them, of five languages of the languages example.

`texts.txt` has the training texts, one a line; `truth.csv` has them with the labels that only
`agreement.py` reads; `test.csv` has other texts with their labels.
"""

import csv
from pathlib import Path
from typing import Annotated

import typer

NAMES = {"de": "German", "el": "Greek", "en": "English", "fr": "French", "ja": "Japanese"}


def rows_of(file: Path, limit: int) -> list[tuple[str, str]]:
    """The first texts of the five languages, with the names of the languages."""
    with file.open(encoding="utf-8", newline="") as opened:
        rows = [
            (row["text"], NAMES[row["label"]])
            for row in csv.DictReader(opened)
            if row["label"] in NAMES
        ]
    return rows[:limit]


def write(file: Path, rows: list[tuple[str, str]]) -> None:
    """Writes texts and labels as a corpus."""
    with file.open("w", encoding="utf-8", newline="") as opened:
        csv.writer(opened).writerows([("text", "label"), *rows])


def main(
    languages: Annotated[Path, typer.Argument(help="The corpus of examples/languages.")],
    out: Annotated[Path, typer.Option(help="The folder to write to.")],
    limit: Annotated[int, typer.Option(help="Texts to label, at most.")] = 1_000_000,
) -> None:
    """Write the texts of five languages."""
    out.mkdir(parents=True, exist_ok=True)
    rows = rows_of(languages / "train.csv", limit)
    (out / "texts.txt").write_text("".join(f"{text}\n" for text, _ in rows), encoding="utf-8")
    write(out / "truth.csv", rows)
    write(out / "test.csv", rows_of(languages / "test.csv", limit))


if __name__ == "__main__":
    typer.run(main)
