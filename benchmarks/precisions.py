"""What each precision costs in time: one text, and a batch of texts, in every runtime.

    python benchmarks/precisions.py [--cell lstm|gru|rnn] [--tokens 40] [--repeats 15]

One run times every way in turn with the others, after checking that they give the same answers.
Owns that check and the tables; what is measured is in `precision_ways`.
"""

import json
import os
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Annotated

import numpy as np
import precision_ways
import turns
import typer
from answers import RuntimeFailedError
from gatewise.service.model.classifier import Classifier
from gatewise.training.config.network_section import Cell
from in_node import NODE_MODULES
from precision_ways import DYNAMIC, LENGTHS, Logits, Way
from subjects import Subject, subjects
from ways import TOLERANCE, DisagreementError

HEAD = (
    "| what | precision | one text, ms | quartiles | ratio | "
    f"{len(LENGTHS)} texts, texts/s | quartiles | ratio | logits differ by | "
    "other labels |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|"
)
PACKAGES = ("keras", "numpy", "onnxruntime", "tf2onnx", "torch")

Rounds = Sequence[float]


@dataclass(frozen=True)
class Row:
    """What was measured of one way.

    Attributes:
        network: Which network answers.
        name: What answers.
        precision: How its weights are stored.
        one_ms: Milliseconds of one text: lower quartile of the rounds, median, upper quartile.
        many_ms: The same of a batch.
        one_ratio: Median over that of the first way of the network.
        many_ratio: The same of a batch.
        difference: The largest between a logit and the first way's.
        others: Texts that have another best label than by the first way.
    """

    network: str
    name: str
    precision: str
    one_ms: tuple[float, float, float]
    many_ms: tuple[float, float, float]
    one_ratio: float
    many_ratio: float
    difference: float
    others: int


def differences(ways: Sequence[Way]) -> list[tuple[float, int]]:
    """How far each way's logits lie from those of the first way of its network.

    Logits are compared as logarithms of scores, which is all that some runtimes tell.

    Args:
        ways: The ways, all with the same texts.

    Returns:
        The largest difference of a logit, and how many texts have another best label.

    Raises:
        DisagreementError: If 32-bit floats are further apart than `TOLERANCE`, or a text has
            another best label in a file of Gatewise.
    """
    first: dict[str, Logits] = {}
    found = []
    for way in ways:
        told = f"{way.network}: {way.name}, {way.precision}"
        given = way.answer()
        if not np.isfinite(given).all():
            raise DisagreementError(f"{told}: expected logits, received what are no numbers")
        given = given - np.logaddexp.reduce(given, axis=1, keepdims=True)
        expected = first.setdefault(way.network, given)
        apart = float(np.max(np.abs(given - expected)))
        others = int((given.argmax(axis=1) != expected.argmax(axis=1)).sum())
        if way.precision == "fp32" and apart > TOLERANCE:
            raise DisagreementError(
                f"{told}: expected logits within {TOLERANCE:g} of the first way's, received a "
                f"difference of {apart:g}"
            )
        if others and way.precision != DYNAMIC:
            raise DisagreementError(
                f"{told}: expected the best labels of the first way, received {others} others for "
                f"{len(given)} texts"
            )
        found.append((apart, others))
    return found


def measure(one: Sequence[Way], many: Sequence[Way], repeats: int, calls: int) -> list[Row]:
    """Checks the ways and times them in turn, those with one text and with a batch alike.

    Args:
        one: The ways with one text.
        many: The same ways with a batch.
        repeats: Rounds.
        calls: Calls of each way in each round.

    Raises:
        DisagreementError: See `differences`.
    """
    apart = list(zip(differences(one), differences(many), strict=True))
    rounds = turns.take([way.times for way in chain(one, many)], repeats, calls)
    of_one = _quartiles(one, rounds[: len(one)])
    of_many = _quartiles(many, rounds[len(one) :])
    rows = []
    for way, found in zip(one, apart, strict=True):
        first = next(other.key for other in one if other.network == way.network)
        rows.append(
            Row(
                *way.key,
                of_one[way.key],
                of_many[way.key],
                of_one[way.key][1] / of_one[first][1],
                of_many[way.key][1] / of_many[first][1],
                max(difference for difference, _ in found),
                sum(others for _, others in found),
            )
        )
    return rows


def _quartiles(
    ways: Sequence[Way], rounds: Sequence[Rounds]
) -> Mapping[tuple[str, str, str], tuple[float, float, float]]:
    found = {}
    for way, times in zip(ways, rounds, strict=True):
        lower, upper = map(float, np.quantile(times, (0.25, 0.75)))
        found[way.key] = lower, statistics.median(times), upper
    return found


def in_markdown(row: Row) -> str:
    """A row of the table."""
    lower, median, upper = row.one_ms
    fewest, rate, most = (1000 * len(LENGTHS) / ms for ms in reversed(row.many_ms))
    return (
        f"| {row.name} | {row.precision} | {median:.3f} | {lower:.3f}–{upper:.3f} | "
        f"{row.one_ratio:.1f} | {rate:,.0f} | {fewest:,.0f}–{most:,.0f} | "
        f"{1 / row.many_ratio:.2f} | {row.difference:.1e} | {row.others} |"
    )


def main(
    cell: Annotated[Cell, typer.Option(help="The recurrent cell.")] = "lstm",
    tokens: Annotated[int, typer.Option(min=2, max=256, help="Tokens of the one text.")] = 40,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 15,
    calls: Annotated[int, typer.Option(min=1, help="Calls of each in a round.")] = turns.CALLS,
    node_modules: Annotated[Path, typer.Option(help="JavaScript's runtimes.")] = NODE_MODULES,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False,
) -> None:
    """Time every precision in every runtime, beside Keras's own ONNX export and PyTorch."""
    if find_spec("tf2onnx") is None:
        typer.echo('Error: tf2onnx is missing: pip install "gatewise[benchmark]"', err=True)
        raise typer.Exit(1)
    load = os.getloadavg()[0]
    for runtime, reason in precision_ways.missing(node_modules).items():
        typer.echo(f"{runtime} is left out: {reason}", err=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            both = subjects(cell, Path(folder))
            rows = _measured(both, cell, tokens, node_modules, repeats, calls)
    except (DisagreementError, RuntimeFailedError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        document = {
            "cell": cell,
            "tokens": tokens,
            "batch": LENGTHS,
            "repeats": repeats,
            "calls": calls,
            "load_before": load,
            "versions": {name: version(name) for name in PACKAGES if find_spec(name)},
            "rows": [asdict(row) for row in rows],
        }
        typer.echo(json.dumps(document))
        return
    typer.echo(
        f"One text of {tokens} tokens, and {len(LENGTHS)} of {np.mean(LENGTHS):.1f} on average, "
        f"{cell}, {repeats} rounds: medians of them. A load of {load:.1f} before the first."
    )
    for subject in both:
        typer.echo(f"\n{subject.name}\n\n{HEAD}")
        own = [row for row in rows if row.network == subject.name]
        for name in dict.fromkeys(row.name for row in own):
            for row in own:
                if row.name == name:
                    typer.echo(in_markdown(row))


def _measured(
    both: Sequence[Subject], cell: Cell, tokens: int, modules: Path, repeats: int, calls: int
) -> list[Row]:
    classifier = Classifier.load(both[0].folder)
    with precision_ways.runtimes(both[0].folder.parent, modules) as tells:
        one, many = (
            [way for subject in both for way in precision_ways.ways_of(subject, cell, given, tells)]
            for given in (
                precision_ways.asked(classifier, [tokens]),
                precision_ways.asked(classifier, LENGTHS),
            )
        )
        return measure(one, many, repeats, calls)


if __name__ == "__main__":
    typer.run(main)
