"""The figures of the comparison: kept one JSON object a line, and shown as tables.

A figure is found again by what it depends on: the classifier, the set, the seed, and a digest of
the classifier's settings. Knows nothing of how it was measured.
"""

import hashlib
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from peers import Outcome, Settings

LACKING = "–"


@dataclass(frozen=True)
class Key:
    """What a figure depends on.

    Attributes:
        classifier: Its short name.
        set: The set's name.
        seed: The seed.
        digest: Of the classifier's settings.
    """

    classifier: str
    set: str
    seed: int
    digest: str


def digest(settings: Settings) -> str:
    """Sixteen digits that tell settings apart."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Figures:
    """The figures in a file, to which each new one is added as soon as it is known."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[Key, Outcome] = {}
        if file.is_file():
            for line in file.read_text(encoding="utf-8").splitlines():
                told = json.loads(line)
                key = Key(**{name: told.pop(name) for name in Key.__dataclass_fields__})
                self._known[key] = Outcome(**told)

    def get(self, key: Key) -> Outcome | None:
        """The figure, if it is known."""
        return self._known.get(key)

    def add(self, key: Key, outcome: Outcome) -> None:
        """Adds a figure."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({**asdict(key), **asdict(outcome)}, ensure_ascii=False)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        self._known[key] = outcome


Cells = Mapping[tuple[str, str], Sequence[Outcome]]
"""What is known of each classifier, by its title, on each set, by its name: one for each seed."""


def accuracies(cells: Cells, titles: Sequence[str], sets: Sequence[str], seeds: int) -> str:
    """Mean test accuracy and its standard deviation over the seeds, in percent, in Markdown.

    The best of a column is bold. Cells of fewer seeds than asked for tell how many there are.
    """
    means = {
        place: 100 * statistics.mean(outcome.accuracy for outcome in outcomes)
        for place, outcomes in cells.items()
        if outcomes
    }

    def cell(title: str, name: str) -> str:
        outcomes = cells.get((title, name), ())
        if not outcomes:
            return LACKING
        spread = statistics.stdev(100 * o.accuracy for o in outcomes) if len(outcomes) > 1 else None
        return _bold(f"{means[title, name]:.1f}", [means.get((t, name)) for t in titles]) + (
            (f" ± {spread:.1f}" if spread is not None else "")
            + (f" ({len(outcomes)})" if len(outcomes) < seeds else "")
        )

    averages: dict[str, float | None] = {}
    for title in titles:
        row = [means.get((title, name)) for name in sets]
        known = [mean for mean in row if mean is not None]
        averages[title] = statistics.mean(known) if len(known) == len(row) else None
    lines = [_line(["classifier", *sets, "average"]), _line(["---", *["--:"] * (len(sets) + 1)])]
    for title in titles:
        average = averages[title]
        last = LACKING if average is None else _bold(f"{average:.1f}", list(averages.values()))
        lines.append(_line([title, *(cell(title, name) for name in sets), last]))
    return "\n".join(lines)


def seconds(cells: Cells, titles: Sequence[str], sets: Sequence[str]) -> str:
    """Mean seconds of training, in Markdown."""
    lines = [_line(["training, s", *sets]), _line(["---", *["--:"] * len(sets)])]
    for title in titles:
        row = [cells.get((title, name), ()) for name in sets]
        shown = (
            f"{statistics.mean(o.seconds for o in found):.0f}" if found else "" for found in row
        )
        lines.append(_line([title, *(text or LACKING for text in shown)]))
    return "\n".join(lines)


def _bold(shown: str, column: Sequence[float | None]) -> str:
    """A figure in bold if none of its column is shown as a higher one."""
    best = max(float(f"{value:.1f}") for value in column if value is not None)
    return f"**{shown}**" if float(shown) == best else shown


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
