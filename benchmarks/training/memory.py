"""The peak memory of `gatewise train`, on a given corpus or on a generated one."""

import resource
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.lib.command import AsJson, BenchmarkError, TrainingSettings, command
from benchmarks.lib.report import report
from benchmarks.lib.subprocesses import environment, gatewise_command

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


@command
def main(
    corpus: Annotated[Path | None, typer.Argument(help="A corpus; generated if left out.")] = None,
    rows: Annotated[int, typer.Option(help="Rows of the generated corpus.")] = 10_000_000,
    settings: TrainingSettings = None,
    as_json: AsJson = False,
) -> None:
    """Print time and peak resident memory of one training run."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch:
        path = corpus or generate(Path(scratch) / "generated.csv", rows)
        command = gatewise_command("train", path, "--out", Path(scratch) / "model")
        for setting in settings or ():
            command += ["--set", setting]
        start = time.perf_counter()
        ended = subprocess.run(command, env=environment(), stdout=subprocess.DEVNULL, check=False)
        if ended.returncode:
            raise BenchmarkError(f"gatewise train ended with {ended.returncode}")
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    facts = {"corpus": path.name, "seconds": seconds, "peak, MiB": peak}
    report({}, facts=facts, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
