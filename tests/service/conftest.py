"""Fixtures of the service tests: models, and a real HTTP server on the loopback address."""

import functools
import gc
import multiprocessing
import re
import shutil
import sys
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import httpx
import numpy as np
import pytest

from gatewise.service.model.cascade import calibrated
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.linear_path import LinearPath
from gatewise.service.model.model_documents import CascadeSettings
from gatewise.service.model.model_folder import (
    ModelFolder,
    read_model_folder,
    seal_model_folder,
    write_json,
)
from gatewise.service.model.scores import apply
from gatewise.service.serving import server
from gatewise.service.serving.app import Application
from gatewise.service.serving.listen_socket import listen, url


@pytest.fixture(scope="session")
def classifier(model_folder):
    return Classifier.load(model_folder)


@pytest.fixture(scope="session")
def folder_with(model_folder, tmp_path_factory):
    """Copies the model folder with other settings."""

    def folder(**settings):
        copy = ModelFolder(tmp_path_factory.mktemp("with") / "model")
        shutil.copytree(model_folder, copy.path)
        loaded = read_model_folder(copy.path)
        gatewise = loaded.config.gatewise.model_copy(update=settings)
        config = loaded.config.model_copy(update={"gatewise": gatewise})
        write_json(copy.config, config.model_dump(mode="json"))
        seal_model_folder(copy, loaded.manifest)
        return copy.path

    return folder


Cascading = namedtuple("Cascading", ["folder", "texts", "probabilities", "linear"])


@pytest.fixture(scope="session")
def cascading(classifier, folder_with):
    """A model with a cascade; texts, their probabilities, how many are the linear path's."""
    texts = [
        "Bitte geben Sie eine gültige Adresse ein.",
        "1 2",
        "The file was not found.",
        "x",
        "é",
    ]
    encoded, temperature = classifier.encode_together(texts), 0.8
    path = LinearPath.of(classifier.artifact)
    linear = apply("softmax", calibrated(path.logits(encoded), temperature))
    best = linear.max(axis=1)
    # The probability that two of the texts reach: as many decimals as a 64-bit number has.
    threshold = float(np.sort(best)[-2])
    folder = folder_with(cascade=CascadeSettings(threshold=threshold, temperature=temperature))
    sure = best >= np.float32(threshold)
    assert sure.sum() == 2
    network = classifier.probabilities(encoded)
    return Cascading(folder, texts, np.where(sure[:, None], linear, network), 2)


STREAMED = [
    "Wo ist der Bahnhof? It's the first café, naïve façades.",
    "最寄りの駅はどこですか がぎぐ カタカナ 👩‍👩‍👧 ☃",
    "a b c aa ab ba [PAD] words of several texts, one two three",
]
"""The texts that the tokenizers of the forward models are trained on."""


@pytest.fixture(scope="session")
def forward_folder(once):
    """Writes forward models with random weights, each once by its settings. Read-only for tests."""

    @functools.cache
    def folder(*assignments, labels=3, multi_label=False, features=0):
        """With features it reads sequences of numbers; with one label it predicts a number."""
        small = ["network.direction=forward", "network.units=6", "network.embedding_size=5"]
        settings = [*small, f"tokens.unit={'vector' if features else 'word'}", *assignments]
        name = "-".join(["forward", *assignments, *map(str, (labels, multi_label, features))])
        name = re.sub(r"\W+", "-", name)
        write = functools.partial(_write_forward, settings, labels, multi_label, features)
        return once(name, write) / "model"

    return folder


def _write_forward(assignments, labels, multi_label, features, folder):
    # Imported here, because TensorFlow takes seconds to import.
    from gatewise.service.model.model_folder import write_model_folder
    from gatewise.training.config import config
    from gatewise.training.data.feature_scale import FeatureScale
    from gatewise.training.data.value_scale import ValueScale
    from gatewise.training.network.build import build
    from gatewise.training.network.shape import Shape
    from gatewise.training.onnx_export.keras_to_onnx import to_onnx
    from gatewise.training.trained_model import TrainedModel
    from gatewise.vocab.corpus.columns import VALUE
    from gatewise.vocab.corpus.labels import Labels
    from gatewise.vocab.tokenizer.tokenizer import train_tokenizer

    settings = config.load(assignments=assignments)
    tokenizer = scale = None
    shape = Shape(0, labels, (), features=features)
    if features and settings.sequence.scale == "standard":
        scale = FeatureScale(np.full(features, 500, np.float32), np.full(features, 20, np.float32))
    elif features:
        scale = FeatureScale.none(features)
    else:
        tokenizer = train_tokenizer(STREAMED, **settings.tokens.dictionary_options())
        ngrams = settings.network.ngram_lengths(settings.tokens.unit)
        shape = Shape(tokenizer.get_vocab_size(), labels, ngrams, buckets=300)
    model = build(settings.network, shape, seed=1, scale=scale)
    generator = np.random.default_rng(2)
    model.set_weights(
        [weights + generator.normal(0, 0.2, weights.shape) for weights in model.get_weights()]
    )
    trained = TrainedModel(
        lowered=to_onnx(model, settings.network),
        tokenizer=tokenizer,
        labels=Labels(
            tuple(f"label {number}" for number in range(labels)) if labels > 1 else (VALUE,)
        ),
        task="multi_label" if multi_label else "single_label" if labels > 1 else "regression",
        shape=shape,
        config=settings,
        parameters=model.count_params(),
        corpus_sha256="0" * 64,
    )
    with write_model_folder(folder / "model") as written:
        scaled = trained.divided_by(1.5) if labels > 1 else trained.in_units_of(ValueScale(300, 50))
        scaled.write(written)


@pytest.fixture(scope="module")
def serve_app() -> Iterator[Callable[[Application], httpx.Client]]:
    """Serves an application until the end of the module; returns a client."""
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(serving(app))


@contextmanager
def serving(app: Application) -> Iterator[httpx.Client]:
    """Serves an application as `gatewise serve` does, but in a thread of this process."""
    supervisor, pipe = multiprocessing.Pipe()
    ready = threading.Event()
    interval = sys.getswitchinterval()
    with listen("127.0.0.1", 0) as listener, pipe:
        arguments = (app, server.UvicornProcess(pipe), listener, ready.set)
        thread = threading.Thread(target=server.run, args=arguments)
        thread.start()
        try:
            assert ready.wait(30)
            address = url(listener, tls=False)
            with httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
                yield client
        finally:
            supervisor.close()  # a process ends with its supervisor
            thread.join()
            sys.setswitchinterval(interval)
            gc.unfreeze()


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., None]:
    """Waits until a condition holds."""

    def wait(condition: Callable[[], object], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"the condition was not met within {seconds} s"
            time.sleep(0.01)

    return wait
