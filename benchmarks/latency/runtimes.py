"""What each precision costs in time: one text, and a batch of texts, in Python, Node and Chromium.

All have one thread and the same token ids, or the strings of them, and take turns after their
answers were compared.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import typer
from numpy.typing import NDArray

from benchmarks.latency import networks
from benchmarks.latency.networks import TOLERANCE, TimedNetwork, in_onnxruntime
from benchmarks.lib import javascript, timing
from benchmarks.lib.command import AsJson, BenchmarkError, command
from benchmarks.lib.javascript import NODE_MODULES, Tell
from benchmarks.lib.report import Row, report
from benchmarks.lib.timing import Timer
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import DTYPES, PRECISIONS, Precision
from gatewise.service.model.model_folder import ModelFolder, read_model_folder
from gatewise.training.config.network_section import Cell
from gatewise.vocab.tokenizer.encoding import pad

PYTHON, NODE, CHROMIUM = "Python", "Node", "Chromium"
ENGINES = {
    PYTHON: "Python onnxruntime",
    NODE: "onnxruntime-node",
    CHROMIUM: "onnxruntime-web in Chromium",
}
FROM_STRINGS = {
    PYTHON: "Gatewise, from the string",
    NODE: "Transformers.js in Node, from the string",
    CHROMIUM: "Transformers.js in Chromium, from the string",
}

LENGTHS = (
    *(5, 6, 7, 7, 8, 8, 8, 9, 9, 9, 9, 10, 10, 10, 11, 11),
    *(11, 12, 12, 12, 13, 13, 13, 14, 14, 15, 15, 16, 17, 18, 20, 24),
)
"""Tokens of the texts of a batch: quantiles of the questions of trec6, 11.8 on average."""

Logits = NDArray[np.float64]


@dataclass(frozen=True)
class Candidate:
    """What is timed with some texts."""

    name: str
    precision: str
    timer: Timer
    logits: Callable[[], Logits]  # of the texts, or the logarithms of their scores


@dataclass(frozen=True)
class Texts:
    """Some texts that are classified in one call, and the token ids of each."""

    texts: list[str]
    ids: list[NDArray[np.int64]]


def random_texts(classifier: Classifier, lengths: Sequence[int]) -> Texts:
    """Texts of random words, of so many tokens each, the begin mark included."""
    random = np.random.default_rng(networks.SEED)
    texts = [" ".join(random.choice(networks.words(), length - 1)) for length in lengths]
    return Texts(texts, [encoded.ids for encoded in classifier.encode(texts)])


def candidates(
    network: TimedNetwork, texts: Texts, tells: Mapping[str, Tell]
) -> Iterator[Candidate]:
    """Everything that is timed with some texts; all are compared with the first.

    `tells` are Node and Chromium, with the folder that the network's folder is in.
    """
    batch = pad(texts.ids)
    for precision in PRECISIONS:
        layout = ModelFolder(network.folder)
        model = onnx.load_from_string(read_model_folder(network.folder, precision).model)
        run = in_onnxruntime(model, batch.input_ids, batch.attention_mask)
        yield Candidate(ENGINES[PYTHON], precision, timing.by_clock(run), _wide(run))
        file = f"{network.folder.name}/{layout.name_of(layout.model_in(precision))}"
        ids = [text.tolist() for text in texts.ids]
        for runtime, tell in tells.items():
            timer, logits = _told(tell, tell({"what": "network", "file": file, "ids": ids}))
            yield Candidate(ENGINES[runtime], precision, timer, logits)
        yield from _from_strings(network, precision, texts, tells)


def _from_strings(
    network: TimedNetwork, precision: Precision, texts: Texts, tells: Mapping[str, Tell]
) -> Iterator[Candidate]:
    classifier = Classifier.load(network.folder, precision=precision, threads=1)
    timer = timing.by_clock(partial(classifier.predict_proba, texts.texts))
    logits = _wide(lambda: classifier.logits(classifier.encode(texts.texts)))
    yield Candidate(FROM_STRINGS[PYTHON], precision, timer, logits)
    pipeline = {
        "what": "pipeline",
        "model": network.folder.name,
        "dtype": DTYPES[precision],
        "texts": texts.texts,
        "labels": classifier.classes_,
    }
    for runtime, tell in tells.items():
        timer, scores = _told(tell, tell(pipeline))
        name = FROM_STRINGS[runtime]
        yield Candidate(name, precision, timer, partial(_logarithms, scores))


def _told(tell: Tell, number: int) -> tuple[Timer, Callable[[], Logits]]:
    """How a runtime times and answers what it has loaded under a number."""

    def timer(calls: int) -> list[float]:
        found: list[float] = tell({"what": "time", "number": number, "calls": calls})
        return found

    return timer, lambda: np.array(tell({"what": "answer", "number": number}))


def _wide(run: Callable[[], NDArray[np.float32]]) -> Callable[[], Logits]:
    return lambda: run().astype(np.float64)


def _logarithms(scores: Callable[[], Logits]) -> Logits:
    return np.log(scores())


def differences(compared: Sequence[Candidate]) -> list[float]:
    """For each candidate, how far its logits are from the first's.

    Logits are compared as logarithms of scores, which is all that some runtimes give.

    Raises:
        BenchmarkError: If 32-bit floats are further apart than `TOLERANCE`, or best labels differ.
    """
    expected: Logits | None = None
    found = []
    for each in compared:
        what = f"{each.name}, {each.precision}"
        logits = each.logits()
        if not np.isfinite(logits).all():
            raise BenchmarkError(f"{what}: expected logits, received what are no numbers")
        logits = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        expected = logits if expected is None else expected
        apart = float(np.max(np.abs(logits - expected)))
        others = int((logits.argmax(axis=1) != expected.argmax(axis=1)).sum())
        if others or (each.precision == "fp32" and apart > TOLERANCE):
            raise BenchmarkError(
                f"{what}: expected logits within {TOLERANCE:g} of the first's and the same best "
                f"labels, received a difference of {apart:g} and {others} other labels"
            )
        found.append(apart)
    return found


def measure(
    one: Sequence[Candidate], many: Sequence[Candidate], rounds: int, calls: int
) -> list[Row]:
    """Compares the candidates and times them in turns, with one text and with a batch.

    Ratios are to the first.
    """
    apart = list(map(max, zip(differences(one), differences(many), strict=True)))
    times = timing.interleaved([each.timer for each in chain(one, many)], rounds, calls)
    quartiles = np.quantile(times, (0.25, 0.5, 0.75), axis=1).T.tolist()
    batches = [median for _, median, _ in quartiles[len(one) :]]
    return [
        {
            "what": each.name,
            "precision": each.precision,
            "one text, ms": quartiles[place][1],
            "lower quartile": quartiles[place][0],
            "upper quartile": quartiles[place][2],
            "ratio": quartiles[place][1] / quartiles[0][1],
            f"{len(LENGTHS)} texts, texts/s": 1000 * len(LENGTHS) / batches[place],
            "ratio of texts/s": batches[0] / batches[place],
            "logits differ by": apart[place],
        }
        for place, each in enumerate(one)
    ]


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
    for runtime, reason in missing.items():
        if reason:
            typer.echo(f"{runtime} is left out: {reason}", err=True)
    started = {NODE: javascript.in_node, CHROMIUM: javascript.in_chromium}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        network = networks.build_network(cell, Path(folder) / "model")
        tells = {
            name: stack.enter_context(start(Path(folder), node_modules))
            for name, start in started.items()
            if not missing[name]
        }
        classifier = Classifier.load(network.folder)
        one, many = (
            list(candidates(network, texts, tells))
            for texts in (random_texts(classifier, [tokens]), random_texts(classifier, LENGTHS))
        )
        rows = measure(one, many, rounds, calls)
    facts = {"cell": cell, "tokens": tokens, "rounds": rounds, "load before": load}
    versions = {"onnxruntime": version("onnxruntime")}
    report({"runtimes": rows}, facts={**facts, **versions}, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
