"""What each precision costs in time: one text, and a batch of texts, in Python, Node and Chromium.

All have one thread and the same token ids, or the strings of them, and take turns after their
answers were compared.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import typer

from benchmarks.latency import networks
from benchmarks.latency.latency import Candidate, Logits, measure
from benchmarks.latency.networks import TimedNetwork, in_onnxruntime
from benchmarks.lib import javascript, timing
from benchmarks.lib.command import AsJson, command
from benchmarks.lib.javascript import NODE_MODULES, Tell
from benchmarks.lib.report import report
from benchmarks.lib.timing import Timer
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import DTYPES, PRECISIONS, Precision
from gatewise.service.model.model_folder import ModelFolder, read_model_folder
from gatewise.training.config.network_section import Cell
from gatewise.vocab.tokenizer.encoding import pad

NODE, CHROMIUM = "Node", "Chromium"
ENGINES = {NODE: "onnxruntime-node", CHROMIUM: "onnxruntime-web in Chromium"}

LENGTHS = (
    *(5, 6, 7, 7, 8, 8, 8, 9, 9, 9, 9, 10, 10, 10, 11, 11),
    *(11, 12, 12, 12, 13, 13, 13, 14, 14, 15, 15, 16, 17, 18, 20, 24),
)
"""Tokens of the texts of a batch: quantiles of the questions of trec6, 11.8 on average."""


def random_texts(lengths: Sequence[int]) -> list[str]:
    """Texts of random words, of so many tokens each, the begin mark included."""
    random = np.random.default_rng(networks.SEED)
    return [" ".join(random.choice(networks.words(), length - 1)) for length in lengths]


def candidates(
    network: TimedNetwork, precision: Precision, texts: list[str], tells: Mapping[str, Tell]
) -> Iterator[Candidate]:
    """Every runtime with one file of the network, from the token ids and from the strings.

    `tells` are Node and Chromium, with the folder that the network's folder is in.
    """
    loaded = read_model_folder(network.folder, precision)
    classifier = Classifier(loaded, threads=1)
    ids = [encoded.ids for encoded in classifier.encode(texts)]
    run = in_onnxruntime(onnx.load_from_string(loaded.model), pad(ids))
    yield Candidate("Python onnxruntime", timing.by_clock(run), run, precision)
    yield Candidate(
        "Gatewise, from the string",
        timing.by_clock(lambda: classifier.predict_proba(texts)),
        lambda: classifier.logits(classifier.encode(texts)),
        precision,
    )
    folder = ModelFolder(network.folder)
    file = f"{network.folder.name}/{folder.name_of(folder.model_in(precision))}"
    engine = {"what": "network", "file": file, "ids": [text.tolist() for text in ids]}
    pipeline = {
        "what": "pipeline",
        "model": network.folder.name,
        "dtype": DTYPES[precision],
        "texts": texts,
        "labels": classifier.classes_,
    }
    for runtime, tell in tells.items():
        yield Candidate(ENGINES[runtime], *_loaded(tell, engine), precision)
        timer, scores = _loaded(tell, pipeline)
        name = f"Transformers.js in {runtime}, from the string"
        yield Candidate(name, timer, partial(_logarithms, scores), precision)


def _loaded(tell: Tell, command: Mapping[str, object]) -> tuple[Timer, Callable[[], Logits]]:
    """How a runtime times, and answers with, what a command loads."""
    number = tell(command)

    def timer(calls: int) -> list[float]:
        found: list[float] = tell({"what": "time", "number": number, "calls": calls})
        return found

    return timer, lambda: np.array(tell({"what": "answer", "number": number}))


def _logarithms(scores: Callable[[], Logits]) -> Logits:
    return np.log(scores())


@command
def main(
    cell: Annotated[Cell, typer.Option(help="The recurrent cell.")] = "lstm",
    tokens: Annotated[int, typer.Option(min=2, max=256, help="Tokens of the one text.")] = 40,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds.")] = 15,
    calls: Annotated[int, typer.Option(min=1, help="Calls of each in a round.")] = timing.CALLS,
    node_modules: Annotated[Path, typer.Option(help="JavaScript's packages.")] = NODE_MODULES,
    as_json: AsJson = False,
) -> None:
    """Time every precision in every runtime."""
    load = os.getloadavg()[0]
    missing = {
        NODE: javascript.missing_in_node(node_modules),
        CHROMIUM: javascript.missing_in_chromium(node_modules),
    }
    started = {NODE: javascript.in_node, CHROMIUM: javascript.in_chromium}
    tells: dict[str, Tell] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        network = networks.build_network(cell, Path(folder) / "model")
        for runtime, reason in missing.items():
            if reason:
                typer.echo(f"{runtime} is left out: {reason}", err=True)
            else:
                tell = started[runtime](Path(folder), node_modules)
                tells[runtime] = stack.enter_context(tell)
        compared, many = (
            [
                each
                for precision in PRECISIONS
                for each in candidates(network, precision, random_texts(lengths), tells)
            ]
            for lengths in ([tokens], LENGTHS)
        )
        measured = [measure(each, rounds, calls) for each in (compared, many)]
    rows = [
        {
            "what": row["what"],
            "precision": each.precision,
            "one text, ms": row["ms"],
            "lower quartile": row["lower quartile"],
            "upper quartile": row["upper quartile"],
            "ratio": row["ratio"],
            f"{len(LENGTHS)} texts, texts/s": 1000 * len(LENGTHS) / batch["ms"],
            "ratio of texts/s": 1 / batch["ratio"],
            "logits differ by": max(row["logits differ by"], batch["logits differ by"]),
        }
        for each, row, batch in zip(compared, *measured, strict=True)
    ]
    facts = {"cell": cell, "tokens": tokens, "rounds": rounds, "load before": load}
    versions = {"onnxruntime": version("onnxruntime")}
    report({"runtimes": rows}, facts={**facts, **versions}, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
