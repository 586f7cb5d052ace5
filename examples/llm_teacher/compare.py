"""Compares the language model and the served model on the test rows, with the majority class."""

import csv
import math
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import httpx
import typer

_TEXTS_OF_REQUEST = 50
_STARTING_SECONDS = 120


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def wait_for(url: str) -> None:
    """Waits until a service is ready."""
    end = time.monotonic() + _STARTING_SECONDS
    while True:
        try:
            if httpx.get(f"{url}/health/ready").is_success:
                return
        except httpx.TransportError:
            if time.monotonic() > end:
                raise
        time.sleep(0.2)


def predict(url: str, texts: Sequence[str]) -> list[str]:
    """The label that a served model gives each text."""
    labels: list[str] = []
    for start in range(0, len(texts), _TEXTS_OF_REQUEST):
        body = {"inputs": texts[start : start + _TEXTS_OF_REQUEST], "parameters": {"top_k": 1}}
        response = httpx.post(f"{url}/predict", json=body).raise_for_status()
        labels += [best["label"] for (best,) in response.json()]
    return labels


def line(name: str, truth: Sequence[str], labels: Sequence[str]) -> str:
    """The accuracy of some labels, with its 95% interval (Wilson's)."""
    rows, z = len(truth), 1.96
    share = sum(label == true for label, true in zip(labels, truth, strict=True)) / rows
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * math.sqrt(share * (1 - share) / rows + (z / (2 * rows)) ** 2)
    return f"{name:34} {share:6.1%}   {middle - half:.1%} to {middle + half:.1%}"


def main(
    folder: Annotated[Path, typer.Argument(help="The folder of the demonstration.")],
    url: Annotated[str, typer.Option(help="The address of the served model.")],
) -> None:
    """Print the accuracy on test.csv of each."""
    wait_for(url)
    rows = read(folder / "test.csv")
    texts, truth = [row["text"] for row in rows], [row["label"] for row in rows]
    ((majority, _),) = Counter(truth).most_common(1)
    llm = [row["label"] for row in read(folder / "test_by_llm.csv")]
    typer.echo(f"{len(rows):,} test rows, labelled by people   accuracy   95% interval")
    typer.echo(line(f"always {majority!r}", truth, [majority] * len(truth)))
    typer.echo(line("the language model", truth, llm))
    typer.echo(line("Gatewise, taught by it and served", truth, predict(url, texts)))


if __name__ == "__main__":
    typer.run(main)
