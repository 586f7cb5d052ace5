"""Results that are kept in a file, one JSON object a line, so that no figure is measured twice.

A result is found again by the classifier, the corpus, the seed, and a digest of the settings.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from benchmarks.lib.command import BenchmarkError
from gatewise.vocab.errors import GatewiseError


@dataclass(frozen=True)
class Result:
    """What came of a classifier on a corpus."""

    accuracy: float  # on the test texts
    validation: float  # the same on the validation texts
    seconds: float  # of processor time, from the texts to the trained classifier
    chosen: str  # the settings that were chosen, in words


@dataclass(frozen=True)
class Key:
    """What a result depends on."""

    classifier: str
    corpus: str
    seed: int
    digest: str


def key(classifier: str, corpus: str, seed: int, settings: Mapping[str, object]) -> Key:
    """The key of a result."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return Key(classifier, corpus, seed, hashlib.sha256(text.encode()).hexdigest()[:16])


class Results:
    """The results in a file, to which each new one is added as soon as it is known."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[Key, Result] = {}
        if file.is_file():
            for line in file.read_text(encoding="utf-8").splitlines():
                fields = json.loads(line)
                place = Key(**{name: fields.pop(name) for name in Key.__dataclass_fields__})
                self._known[place] = Result(**fields)

    def get(self, place: Key) -> Result | None:
        """The result, if it is known."""
        return self._known.get(place)

    def measure(self, place: Key, call: Callable[[], Result]) -> None:
        """Measures a result that is not known yet, and reports it; a failure is reported too."""
        if place in self._known:
            return
        what = f"{place.corpus}, seed {place.seed}, {place.classifier}"
        try:
            result = call()
        except (GatewiseError, BenchmarkError) as error:
            typer.echo(f"{what}: {error}", err=True)
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8") as file:
            line = json.dumps({**asdict(place), **asdict(result)}, ensure_ascii=False)
            file.write(line + "\n")
        self._known[place] = result
        typer.echo(
            f"{what}: {result.accuracy:.4f} on test, {result.validation:.4f} on validation, "
            f"{result.seconds:.0f} s, {result.chosen}",
            err=True,
        )
