"""What the tests of training share: corpora as CSV files, networks, and their logits."""

import csv

import numpy as np
import onnxruntime as ort
import pytest

from gatewise.vocab.tokenizer.encoding import pad


@pytest.fixture(scope="session", autouse=True)
def _briefly_timed(briefly_timed):
    """Every training of these tests is in a process with short measurements."""


@pytest.fixture(scope="session")
def write_csv():
    """Writes rows to a CSV file and returns its path."""

    def write(path, rows, header=("text", "label")):
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])
        return path

    return write


@pytest.fixture(scope="session")
def network():
    """Builds a network with random weights."""
    from gatewise.training.network.build import build

    def built(config, shape, *, spread=0.1, char_ngrams=None):
        model = build(config, shape, seed=1, char_ngrams=char_ngrams)
        generator = np.random.default_rng(2)
        # Biases and the n-gram table start at zero, where a wrong order of gates would not show.
        model.set_weights(
            [value + generator.normal(0, spread, value.shape) for value in model.get_weights()]
        )
        return model

    return built


SUBWORD_SETTINGS = [
    *("tokens.unit=subword", "tokens.max_length=40", "network.cell=lstm", "network.units=8"),
    *("network.buckets=100", "training.epochs=2"),
]


@pytest.fixture(scope="session")
def subword_settings():
    """The settings of `subword_folder`, as assignments."""
    return SUBWORD_SETTINGS


@pytest.fixture(scope="session")
def subword_folder(languages, train_once):
    """A model folder of a network on subwords, trained on the test rows. Not to be changed."""
    from gatewise.training.config import config

    settings = config.load(assignments=SUBWORD_SETTINGS)
    return train_once("subword-trained", settings, languages / "test.csv")[1]


def _inputs(texts):
    batch = pad(texts)
    return {"input_ids": batch.inputs, "attention_mask": batch.attention_mask}


@pytest.fixture(scope="session")
def keras_logits():
    """The logits of texts, each an array of ids, in Keras."""
    # Without a graph, which takes longer to trace than a batch to compute.
    return lambda model, texts: model(_inputs(texts), training=False).numpy()


@pytest.fixture(scope="session")
def onnx_session():
    """Loads an ONNX model, to run it in one thread."""

    def session(proto):
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        return ort.InferenceSession(proto.SerializeToString(), options)

    return session


@pytest.fixture(scope="session")
def onnx_logits(onnx_session):
    """The logits of texts, each an array of ids, by an ONNX model or its session."""

    def logits(model, texts):
        session = model if isinstance(model, ort.InferenceSession) else onnx_session(model)
        return session.run(["logits"], _inputs(texts))[0]

    return logits
