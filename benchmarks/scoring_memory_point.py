"""The memory of one process that scores a folder, looked at after so many rows each.

    python benchmarks/scoring_memory_point.py MODEL FOLDER OUT EVERY WORKERS

Writes a JSON array: what `Point` says, after each step and once the output is there. Linux counts
the peak, and forgets it at each look.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from gatewise.service.model.classifier import Classifier
from gatewise.service.scoring.score_file import Parallelism, score_file
from gatewise.service.scoring.summary import RowCounts

_SELF = Path("/proc/self")


@dataclass(frozen=True)
class Point:
    """A look at the process.

    Attributes:
        rows: Rows that it had done.
        seconds: Since it began to score.
        peak: The most bytes of memory since the look before.
        pss: Bytes of memory now, shared pages divided among those that share them.
    """

    rows: int
    seconds: float
    peak: int
    pss: int


def look(rows: int, began: float) -> Point:
    """Looks at this process, and has Linux count a new peak."""
    peak = _kilobytes(_SELF / "status", "VmHWM")
    pss = _kilobytes(_SELF / "smaps_rollup", "Pss")
    # proc_pid_clear_refs(5): 5 sets the peak back to what is held now.
    (_SELF / "clear_refs").write_text("5")
    return Point(rows, time.perf_counter() - began, 1024 * peak, 1024 * pss)


def watched(model: Path, folder: Path, out: Path, every: int, workers: int) -> list[Point]:
    """Scores a folder and looks at this process meanwhile.

    Args:
        model: A model folder.
        folder: The input.
        out: The output.
        every: Rows between two looks.
        workers: Cores to use.
    """
    classifier = Classifier.load(model)
    points: list[Point] = []
    began = time.perf_counter()

    def on_progress(counts: RowCounts, _: float | None) -> None:
        if counts.rows >= every * (len(points) + 1):
            points.append(look(counts.rows, began))

    rejects = out.with_name("rejects.jsonl")
    done = score_file(
        classifier,
        folder,
        out,
        rejects=rejects,
        parallelism=Parallelism(workers),
        on_progress=on_progress,
    )
    return [*points, look(done.rows, began)]


def _kilobytes(path: Path, name: str) -> int:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise ValueError(f"expected {name} in {path}")


def main(model: str, folder: str, out: str, every: str, workers: str) -> None:
    """See the module."""
    points = watched(Path(model), Path(folder), Path(out), int(every), int(workers))
    sys.stdout.write(json.dumps(list(map(asdict, points))) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
