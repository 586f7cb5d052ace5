"""The ways from some texts to their classes in every precision, in every runtime.

Beside Gatewise's files in Python's onnxruntime, in Node and in Chromium: what Keras itself exports,
and the same weights in PyTorch. Every way has one thread and the same token ids, or the strings
that they are of. Knows nothing of rounds and tables.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import in_chromium
import in_node
import numpy as np
import onnx
import turns
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import DTYPES, PRECISIONS
from gatewise.service.model.model_folder import ModelFolder, read_model_folder
from gatewise.training.config.network_section import Cell
from gatewise.vocab.tokenizer.encoding import Batch, pad
from in_node import Tell
from numpy.typing import NDArray
from recipe import Recipe
from subjects import CLASSES, DEFAULT, SEED, VOCAB_SIZE, Subject, keras_export, words
from turns import Times
from ways import EXPORT, in_onnxruntime

PYTHON, NODE, CHROMIUM, PYTORCH = "Python", "Node", "Chromium", "PyTorch"
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
DYNAMIC = "dynamic int8"

LENGTHS = (
    *(5, 6, 7, 7, 8, 8, 8, 9, 9, 9, 9, 10, 10, 10, 11, 11),
    *(11, 12, 12, 12, 13, 13, 13, 14, 14, 15, 15, 16, 17, 18, 20, 24),
)
"""Tokens of the texts of a batch: quantiles of the questions of trec6, 11.8 on average."""

Logits = NDArray[np.float64]


@dataclass(frozen=True)
class Way:
    """One way from some texts to their classes.

    Attributes:
        network: Which network answers.
        name: What answers.
        precision: How its weights are stored.
        times: Times it.
        answer: Gives the logits of the texts, or their logarithmic scores, `(texts, classes)`.
    """

    network: str
    name: str
    precision: str
    times: Times
    answer: Callable[[], Logits]

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is found by among the ways for other texts."""
        return self.network, self.name, self.precision


@dataclass(frozen=True)
class Asked:
    """Some texts that are classified in one call.

    Attributes:
        texts: The texts.
        ids: Token ids of each.
    """

    texts: list[str]
    ids: list[NDArray[np.int64]]

    @property
    def padded(self) -> Batch:
        """The ids as a network takes them."""
        return pad(self.ids)


def asked(classifier: Classifier, lengths: Sequence[int]) -> Asked:
    """Texts of random words, of so many tokens each, the begin mark included."""
    drawn = np.random.default_rng(SEED)
    texts = [" ".join(drawn.choice(words(), length - 1)) for length in lengths]
    return Asked(texts, [encoded.ids for encoded in classifier.encode(texts)])


def missing(modules: Path) -> dict[str, str]:
    """Why a runtime has to be left out, for each that has."""
    reasons = {
        NODE: in_node.missing(modules),
        CHROMIUM: in_chromium.missing(modules),
        PYTORCH: None if find_spec("torch") else 'it is missing: pip install "gatewise[peers]"',
    }
    return {runtime: reason for runtime, reason in reasons.items() if reason}


@contextmanager
def runtimes(models: Path, modules: Path) -> Iterator[dict[str, Tell]]:
    """Node and Chromium, if they are there, with the models of a folder, until the block ends."""
    absent = missing(modules)
    with ExitStack() as stack:
        found = {NODE: in_node.held, CHROMIUM: in_chromium.held}
        yield {
            name: stack.enter_context(held(models, modules))
            for name, held in found.items()
            if name not in absent
        }


def ways_of(subject: Subject, cell: Cell, given: Asked, tells: Mapping[str, Tell]) -> Iterator[Way]:
    """Everything that is to be timed with some texts; the first is what all are compared with.

    Args:
        subject: The network.
        cell: Its cell.
        given: The texts.
        tells: Node and Chromium, with the folder that the network's folder is in.
    """
    inputs = {"input_ids": given.padded.input_ids, "attention_mask": given.padded.attention_mask}

    def of_file(name: str, precision: str, model: onnx.ModelProto) -> Way:
        way = in_onnxruntime(subject.name, name, model, inputs)
        return Way(subject.name, name, precision, turns.by_clock(way.run), _wide(way.logits))

    for precision in PRECISIONS:
        layout = ModelFolder(subject.folder)
        model = onnx.load_from_string(read_model_folder(subject.folder, precision).model)
        yield of_file(ENGINES[PYTHON], precision, model)
        file = f"{subject.folder.name}/{layout.name_of(layout.model_in(precision))}"
        ids = [text.tolist() for text in given.ids]
        for runtime, tell in tells.items():
            number = tell({"what": "network", "file": file, "ids": ids})
            yield Way(subject.name, ENGINES[runtime], precision, *_told(tell, number))
    if subject.name == DEFAULT:
        yield from _from_strings(subject, given, tells)
    exported = keras_export(subject.in_keras, subject.folder.with_suffix(".onnx"))
    yield of_file(EXPORT, "fp32", exported)
    if subject.name != DEFAULT and cell != "rnn" and find_spec("torch"):
        yield from _in_pytorch(subject, cell, given)


def _from_strings(subject: Subject, given: Asked, tells: Mapping[str, Tell]) -> Iterator[Way]:
    for precision in PRECISIONS:
        classifier = Classifier.load(subject.folder, precision=precision, threads=1)
        times = turns.by_clock(partial(classifier.predict_proba, given.texts))
        answer = _wide(partial(_logits, classifier, given.texts))
        yield Way(subject.name, FROM_STRINGS[PYTHON], precision, times, answer)
        pipeline = {
            "what": "pipeline",
            "model": subject.folder.name,
            "dtype": DTYPES[precision],
            "texts": given.texts,
            "labels": classifier.classes_,
        }
        for runtime, tell in tells.items():
            times, scores = _told(tell, tell(pipeline))
            yield Way(subject.name, FROM_STRINGS[runtime], precision, times, _logarithms(scores))


def _in_pytorch(subject: Subject, cell: Literal["gru", "lstm"], given: Asked) -> Iterator[Way]:
    # Only here: PyTorch may be missing.
    import in_pytorch  # noqa: PLC0415

    weights = subject.in_keras.get_weights()
    recipe = Recipe(
        cell,
        VOCAB_SIZE,
        CLASSES,
        embedding_size=weights[0].shape[1],
        units=weights[2].shape[0],
        **dict.fromkeys(("dropout", "batch_size", "epochs", "rate", "weight_decay"), 0),
        seed=SEED,
    )
    network = in_pytorch.with_weights(recipe, weights)
    networks = {"fp32": network, DYNAMIC: in_pytorch.in_eight_bits(network)}
    for precision, one in networks.items():
        run = in_pytorch.answering(one, given.ids)
        yield Way(subject.name, PYTORCH, precision, turns.by_clock(run), _wide(run))


def _told(tell: Tell, number: int) -> tuple[Times, Callable[[], Logits]]:
    """How a runtime is asked what it holds under a number."""

    def times(calls: int) -> list[float]:
        found: list[float] = tell({"what": "time", "number": number, "calls": calls})
        return found

    return times, lambda: np.array(tell({"what": "answer", "number": number}))


def _logits(classifier: Classifier, texts: Sequence[str]) -> NDArray[np.float32]:
    return classifier.logits(classifier.encode(texts))


def _wide(logits: Callable[[], NDArray[np.float32]]) -> Callable[[], Logits]:
    return lambda: logits().astype(np.float64)


def _logarithms(scores: Callable[[], Logits]) -> Callable[[], Logits]:
    return lambda: np.log(scores())
