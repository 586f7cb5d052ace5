"""Writes sentences of film reviews: some without labels, others with the labels of human raters.

They are in the source archive of the package `vaderSentiment` 0.5, and are not random at all: those
whose mean rating of at least twenty raters, -4 to 4, is 1.5 or more away from neutral.
"""

import csv
import io
import random
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

_MIN_RATING = 1.5


def read_rows(archive: Path) -> Iterator[tuple[str, str]]:
    """The sentences of an archive with their labels, in its order."""
    with zipfile.ZipFile(archive) as package:
        name = next(name for name in package.namelist() if name.endswith(".tar.gz"))
        inner = io.BytesIO(package.read(name))
    with tarfile.open(fileobj=inner) as resources:
        file = resources.extractfile("hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt")
        if file is None:
            raise SystemExit(f"{archive}: it has no sentences of film reviews")
        lines = file.read().decode("latin-1").splitlines()
    for line in lines:
        _, rating, text = line.split("\t", 2)
        if abs(float(rating)) >= _MIN_RATING:
            yield text.strip(), "positive" if float(rating) > 0 else "negative"


def write(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Writes a CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def main(
    archive: Annotated[Path, typer.Argument(help="vaderSentiment-0.5.zip")],
    folder: Annotated[Path, typer.Argument(help="Where the files are written.")],
    texts: Annotated[int, typer.Option(help="Sentences without labels.")] = 350,
    test: Annotated[int, typer.Option(help="Sentences with labels.")] = 200,
) -> None:
    """Write texts.csv, without labels, and test.csv, with labels."""
    rows = list(dict.fromkeys(read_rows(archive)))
    random.Random(0).shuffle(rows)  # noqa: S311
    write(folder / "texts.csv", ["text"], [[text] for text, _ in rows[:texts]])
    write(folder / "test.csv", ["text", "label"], rows[-test:])


if __name__ == "__main__":
    typer.run(main)
