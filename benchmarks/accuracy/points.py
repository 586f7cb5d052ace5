"""The points of the curves, kept in a folder: a line of JSON in a file of its own for each."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """What came of a candidate on a draw.

    Attributes:
        accuracy: Share of the test rows with the right label; with several labels a text, micro F1.
        macro_f1: With several labels a text, mean F1 over the labels.
        chosen: The settings that it chose.
        details: What else a network of Gatewise tells: the accuracy and the bytes of its smallest
            model, the processor seconds of each stage, and the accuracy of its teacher.
    """

    accuracy: float
    macro_f1: float | None = None
    chosen: str = ""
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Point(Outcome):
    """A point of a curve.

    Attributes:
        rows: Training rows.
        seconds: Processor time of training and of scoring the test rows.
    """

    candidate: str
    corpus: str
    size: str
    draw: int
    rows: int
    seconds: float

    def write(self, file: Path) -> None:
        """Keeps it; other processes may write into the same folder."""
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self), ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(file)


def file_of(folder: Path, candidate: str, corpus: str, size: str, draw: int) -> Path:
    """Where a point is kept."""
    return folder / candidate / f"{corpus}-{size}-{draw}.json"


def read_points(folder: Path) -> Iterator[Point]:
    """Reads every point of a folder."""
    for file in sorted(folder.glob("*/*-*-*.json")):
        yield Point(**json.loads(file.read_text(encoding="utf-8")))
