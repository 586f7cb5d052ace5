"""How much memory training takes, and that it does not grow with the corpus.

Runs `gatewise train` in a process of its own, on a corpus given or on one that is generated, and
prints the most memory that the process had (its peak resident set size, as Linux counts it).
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

WORDS = 50_000
_WINDOW = 100_000


def generate(path: Path, rows: int) -> Path:
    """A corpus of two labels: eight words a text, frequent ones often, some of which decide."""
    random = np.random.default_rng(1)
    names = np.array([f"word{number}" for number in range(WORDS)])
    with path.open("w", encoding="utf-8") as file:
        file.write("text,label\n")
        for start in range(0, rows, _WINDOW):
            count = min(_WINDOW, rows - start)
            words = np.minimum(random.zipf(1.3, (count, 8)) - 1, WORDS - 1)
            labels = np.where((words % 7 == 0).any(axis=1), "yes", "no")
            texts = names[words]
            file.writelines(
                f"{' '.join(text)},{label}\n" for text, label in zip(texts, labels, strict=True)
            )
    return path


def main(
    corpus: Annotated[Path | None, typer.Argument(help="A corpus; generated if left out.")] = None,
    rows: Annotated[int, typer.Option(help="Rows of the generated corpus.")] = 10_000_000,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the run.")
    ] = None,
) -> None:
    """Prints rows, time and memory of one training run."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch:
        folder = Path(scratch)
        path = corpus or generate(folder / "generated.csv", rows)
        command = [sys.executable, "-m", "gatewise", "train", str(path)]
        command += ["--out", str(folder / "model")]
        for setting in settings or ():
            command += ["--set", setting]
        began = time.perf_counter()
        subprocess.run(command, check=True)
        seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    typer.echo(f"{path.name}: {seconds:,.0f} s, at most {peak:,.0f} MiB")


if __name__ == "__main__":
    typer.run(main)
