"""Whether every runtime gives the same ids, scores and best labels as Gatewise in Python."""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.lib.command import AsJson, command
from benchmarks.lib.javascript import NODE_MODULES
from benchmarks.lib.report import report
from benchmarks.parity import runtimes, texts
from benchmarks.parity.answers import TOLERANCE, Answers, Comparison, Question, compare
from gatewise.service.model.model_documents import PRECISIONS

_SHOWN = 10  # texts that differ
_SHOWN_CHARACTERS = 200

Compared = tuple[Question, Answers, Comparison]


def compare_all(
    questions: Sequence[Question], modules: Path, optimum_python: Path | None
) -> list[Compared]:
    """Asks every runtime every question."""
    answers = [
        [[runtimes.in_ort_format(question)] for question in questions],
        runtimes.in_node(questions, modules),
        runtimes.in_chromium(questions, modules),
    ]
    if optimum_python is not None:
        answers.append(runtimes.in_optimum(questions, optimum_python))
    return [
        (question, answer, compare(question, answer))
        for question, *found in zip(questions, *answers, strict=True)
        for answer in chain.from_iterable(found)
    ]


def differences(compared: Compared) -> Iterator[str]:
    """The first texts that differ, one a line, in escapes that every terminal shows."""
    question, answers, comparison = compared
    for number in comparison.differing[:_SHOWN]:
        what = []
        expected = list(question.ids[number])
        received = expected if answers.ids is None else list(answers.ids[number])
        if not received:
            what.append("no ids")
        elif received != expected:
            pairs = enumerate(zip(expected, received, strict=False))
            length = min(len(expected), len(received))
            at = next((place for place, (one, other) in pairs if one != other), length)
            what.append(f"ids differ from place {at} on: {expected[at:][:5]}, {received[at:][:5]}")
        if answers.scores is not None and question.scores is not None:
            apart = abs(answers.scores[number] - question.scores[number]).max()
            what.append(f"scores by {apart:.1e}" if np.isfinite(apart) else "no scores")
        text = ascii(question.texts[number])
        cut = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
        yield f"{answers.runtime}, {question.precision}: {'; '.join(what)}: {cut}"


@command
def main(
    models: Annotated[list[Path], typer.Argument(help="Model folders.")],
    data: Annotated[
        Path | None, typer.Option(help="A folder with a folder for each corpus.")
    ] = None,
    count: Annotated[int, typer.Option("--texts", min=1, help="How many texts.")] = 5000,
    node_modules: Annotated[Path, typer.Option(help="JavaScript's packages.")] = NODE_MODULES,
    optimum_python: Annotated[
        Path | None, typer.Option(help="The Python of an environment that has optimum.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare every runtime with Gatewise in Python; exit with 1 if one differs."""
    collected = texts.collect(data, count)
    questions = [
        runtimes.ask_reference(model, precision, collected)
        for model in models
        for precision in runtimes.precisions(model) or PRECISIONS[:1]
    ]
    compared = compare_all(questions, node_modules, optimum_python)
    rows = [
        {
            "model": str(question.folder),
            "runtime": comparison.runtime,
            "precision": comparison.precision,
            "texts": comparison.texts,
            "texts left out": question.left_out,
            "ids that differ": comparison.ids_differ,
            "largest score difference": comparison.largest,
            f"scores further than {TOLERANCE:.0e}": comparison.beyond,
            "top labels that differ": comparison.tops_differ,
        }
        for question, _, comparison in compared
    ]
    report({"parity": rows}, facts={"tolerance": TOLERANCE}, as_json=as_json)
    for line in chain.from_iterable(map(differences, compared)):
        typer.echo(line, err=True)
    if any(comparison.differing for _, _, comparison in compared):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
