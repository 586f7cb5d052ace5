"""Fixtures of the service tests: models, and a real HTTP server on the loopback address."""

import functools
import re
import threading
import time
from contextlib import ExitStack, contextmanager

import httpx
import pytest
import uvicorn

from gatewise.service.model.classifier import Classifier
from gatewise.service.serving.listen_socket import listen


@pytest.fixture(scope="session")
def classifier(model_folder):
    return Classifier.load(model_folder)


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
    def folder(*assignments, labels=3, multi_label=False):
        small = ["network.direction=forward", "network.units=6", "network.embedding_size=5"]
        settings = [*small, "tokens.unit=word", *assignments]
        name = "-".join(["forward", *assignments, str(labels), str(multi_label)])
        name = re.sub(r"\W+", "-", name)
        write = functools.partial(_write_forward, settings, labels, multi_label)
        return once(name, write) / "model"

    return folder


def _write_forward(assignments, labels, multi_label, folder):
    # Imported here, because TensorFlow takes seconds to import.
    import numpy as np

    from gatewise.service.model.model_folder import write_model_folder
    from gatewise.training.config import config
    from gatewise.training.network.build import build
    from gatewise.training.network.shape import Shape
    from gatewise.training.onnx_export.keras_to_onnx import to_onnx
    from gatewise.training.trained_model import TrainedModel
    from gatewise.vocab.corpus.labels import Labels
    from gatewise.vocab.tokenizer.tokenizer import train_tokenizer

    settings = config.load(assignments=assignments)
    tokenizer = train_tokenizer(STREAMED, **settings.tokens.dictionary_options())
    ngrams = settings.network.ngram_lengths(settings.tokens.unit)
    shape = Shape(tokenizer.get_vocab_size(), labels, ngrams, buckets=300)
    model = build(settings.network, shape, seed=1)
    generator = np.random.default_rng(2)
    model.set_weights(
        [weights + generator.normal(0, 0.2, weights.shape) for weights in model.get_weights()]
    )
    trained = TrainedModel(
        lowered=to_onnx(model, settings.network),
        tokenizer=tokenizer,
        labels=Labels(tuple(f"label {number}" for number in range(labels))),
        multi_label=multi_label,
        shape=shape,
        config=settings,
        parameters=model.count_params(),
        corpus_sha256="0" * 64,
    )
    with write_model_folder(folder / "model") as written:
        trained.divided_by(1.5).write(written)


@pytest.fixture(scope="module")
def serve_app():
    """Serves an application until the end of the module; returns a client."""
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(serving(app))


@contextmanager
def serving(app):
    with listen("127.0.0.1", 0) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            wait_until(lambda: server.started or not thread.is_alive())
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"the condition was not met within {seconds} s")
        time.sleep(0.01)
