"""Whether every runtime gives the same answer: one set of texts, asked of each of them.

    python benchmarks/parity.py MODEL_FOLDER [MODEL_FOLDER ...] [--data ../shared/data]

Owns the order of the runtimes and the tables. What a runtime is asked is in `answers`, each
runtime has a module of its own.
"""

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated

import in_chromium
import in_node
import in_onnxruntime
import in_optimum
import numpy as np
import parity_texts
import typer
from answers import TOLERANCE, Answers, Comparison, RuntimeFailedError, compare
from gatewise.service.model.model_documents import PRECISIONS
from gatewise.vocab.errors import GatewiseError
from in_node import NODE_MODULES
from in_onnxruntime import Asked

HEAD = (
    "| runtime | precision | texts | ids that differ | largest score difference | "
    f"scores further than {TOLERANCE:.0e} | top labels that differ |\n"
    "|---|---|--:|--:|--:|--:|--:|"
)
LATENCY_HEAD = "| runtime | precision | ms | quartiles |\n|---|---|--:|--:|"
_SHOWN = 10  # texts that differ
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class Compared:
    """A runtime's answers beside the reference's.

    Attributes:
        asked: What was asked, and what the reference answered.
        answers: What the runtime answered.
        comparison: How they differ.
    """

    asked: Asked
    answers: Answers
    comparison: Comparison


def compare_all(
    asked: Sequence[Asked], modules: Path, optimum_python: Path | None
) -> list[Compared]:
    """Asks every runtime every question.

    Args:
        asked: The questions with the reference's answers.
        modules: The `node_modules` of JavaScript's runtimes.
        optimum_python: The Python of an environment with optimum; None leaves it out.

    Raises:
        RuntimeFailedError: If a runtime is missing or fails.
    """
    questions = [one.question for one in asked]
    answers = [
        [[in_onnxruntime.in_ort_format(question)] for question in questions],
        in_node.ask(questions, modules),
        in_chromium.ask(questions, modules),
    ]
    if optimum_python is not None:
        answers.append(in_optimum.ask(questions, optimum_python))
    return [
        Compared(one, answer, compare(one.question, one.scores, answer))
        for one, *found in zip(asked, *answers, strict=True)
        for answer in chain.from_iterable(found)
    ]


def row(comparison: Comparison) -> str:
    """A comparison as a row of the table."""
    ids = "given" if comparison.ids_differ is None else f"{comparison.ids_differ:,}"
    largest = "" if comparison.largest is None else f"{comparison.largest:.1e}"
    return (
        f"| {comparison.runtime} | {comparison.precision} | {comparison.texts:,} | {ids} | "
        f"{largest} | {comparison.beyond:,} | {comparison.tops_differ:,} |"
    )


def differences(compared: Compared) -> Iterator[str]:
    """The first texts that differ, one a line, in escapes that every terminal shows."""
    question, answers = compared.asked.question, compared.answers
    for number in compared.comparison.differing[:_SHOWN]:
        what = []
        ours = list(question.ids[number])
        theirs = ours if answers.ids is None else list(answers.ids[number])
        if not theirs:
            what.append("no ids")
        elif theirs != ours:
            pairs = enumerate(zip(ours, theirs, strict=False))
            length = min(len(ours), len(theirs))
            at = next((place for place, (one, other) in pairs if one != other), length)
            what.append(f"ids differ from place {at} on: {ours[at:][:5]}, {theirs[at:][:5]}")
        if answers.scores is not None:
            apart = abs(answers.scores[number] - compared.asked.scores[number]).max()
            what.append(f"scores by {apart:.1e}" if np.isfinite(apart) else "no scores")
        text = ascii(question.texts[number])
        cut = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
        yield f"{answers.runtime}, {question.precision}: {'; '.join(what)}: {cut}"


def latency_rows(asked: Sequence[Asked], compared: Sequence[Compared]) -> Iterator[str]:
    """What one text takes in each runtime: the median and the quartiles of the rounds."""
    measured = [
        (in_onnxruntime.REFERENCE, one.question.precision, one.milliseconds) for one in asked
    ] + [
        (one.answers.runtime, one.comparison.precision, one.answers.milliseconds)
        for one in compared
    ]
    for runtime, precision, milliseconds in measured:
        lower, median, upper = statistics.quantiles(milliseconds, n=4)
        yield f"| {runtime} | {precision} | {median:.3f} | {lower:.3f}–{upper:.3f} |"


def main(
    models: Annotated[list[Path], typer.Argument(help="Model folders.")],
    data: Annotated[Path | None, typer.Option(help="A folder with a folder for each set.")] = None,
    texts: Annotated[int, typer.Option(min=1, help="Texts, the awkward ones among them.")] = 5000,
    node_modules: Annotated[Path, typer.Option(help="JavaScript's runtimes.")] = NODE_MODULES,
    optimum_python: Annotated[
        Path | None, typer.Option(help="The Python of an environment that has optimum.")
    ] = None,
    latency: Annotated[bool, typer.Option("--latency", help="Time one text too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False,
) -> None:
    """Compare every runtime's ids, scores and labels with those of Gatewise in Python."""
    try:
        collected = parity_texts.collect(data, texts)
        asked = [
            in_onnxruntime.ask(model, precision, collected, timed=latency)
            for model in models
            for precision in in_onnxruntime.precisions(model) or PRECISIONS[:1]
        ]
        compared = compare_all(asked, node_modules, optimum_python)
    except (GatewiseError, RuntimeFailedError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(_document(asked, compared)))
    else:
        for model in models:
            _print(
                model,
                [one for one in asked if one.question.folder == model],
                [one for one in compared if one.asked.question.folder == model],
            )
    if any(one.comparison.differing for one in compared):
        raise typer.Exit(1)


def _print(model: Path, asked: Sequence[Asked], compared: Sequence[Compared]) -> None:
    typer.echo(f"{model}\n\n{HEAD}")
    for one in compared:
        typer.echo(row(one.comparison))
    typer.echo()
    if asked[0].left_out:
        typer.echo(
            f"Left out: {asked[0].left_out:,} texts that are longer than the model reads. It does "
            "not keep their head, as other runtimes do.\n"
        )
    for one in compared:
        for line in differences(one):
            typer.echo(line)
    if asked[0].milliseconds:
        tokens = len(asked[0].question.ids[asked[0].question.timed or 0])
        typer.echo(f"One text of {tokens} tokens:\n\n{LATENCY_HEAD}")
        for line in latency_rows(asked, compared):
            typer.echo(line)
        typer.echo()


def _document(asked: Sequence[Asked], compared: Sequence[Compared]) -> dict[str, object]:
    return {
        "tolerance": TOLERANCE,
        "reference": [
            {
                "model": str(one.question.folder),
                "precision": one.question.precision,
                "left_out": one.left_out,
                "milliseconds": one.milliseconds,
            }
            for one in asked
        ],
        "rows": [
            {
                "model": str(one.asked.question.folder),
                **asdict(one.comparison),
                "milliseconds": list(one.answers.milliseconds),
            }
            for one in compared
        ],
    }


if __name__ == "__main__":
    typer.run(main)
