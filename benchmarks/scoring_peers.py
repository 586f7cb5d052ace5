"""Other classifiers' ways from strings to labels, as they are usually asked.

They learn briefly or not at all: how fast they answer is measured, not how often they are right.
Where Gatewise's tokenizer stands before another framework, it is the quickest at hand there.
"""

import atexit
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_folder import read_model_folder
from gatewise.vocab.tokenizer.encoding import Ragged
from numpy.typing import NDArray
from recipe import Recipe
from scoring_ways import Given, Ready, Turn, by_clock

BATCH = 256
"""Texts of a batch in PyTorch and Keras."""

_NODE_BATCH = 32


def tfidf(given: Given) -> Ready:
    """Words and pairs of them, weighted by TF-IDF, and a linear support vector machine."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415 — this way's alone
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.svm import LinearSVC  # noqa: PLC0415

    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|[^\w\s]"),
        LinearSVC(),
    )
    model.fit(*given.rows(given.learnt))
    texts, _ = given.rows(given.peer_rows)
    return by_clock(len(texts), lambda: model.predict(texts), list)


def fasttext(given: Given) -> Ready:
    """FastText with pairs of words, asked for a list of texts."""
    import fasttext as library  # noqa: PLC0415 — this way's alone

    names: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        corpus = Path(scratch) / "train.txt"
        with corpus.open("w", encoding="utf-8") as file:
            for text, label in zip(*given.rows(given.learnt), strict=True):
                name = names.setdefault(label, f"__label__{len(names)}")
                file.write(f"{name} {_on_one_line(text)}\n")
        model = library.train_supervised(str(corpus), wordNgrams=2, thread=1, verbose=0)
    texts, _ = given.rows(given.peer_rows)
    known = {number: label for label, number in names.items()}

    def run() -> list[str]:
        answers, _ = model.predict([_on_one_line(text) for text in texts])
        # An empty text is given none.
        return [known[answer[0]] if answer else "" for answer in answers]

    return by_clock(len(texts), run, list)


def pytorch(given: Given) -> Ready:
    """An embedding, an LSTM read both ways and a layer, of the sizes of Gatewise's network."""
    import in_pytorch  # noqa: PLC0415 — this way's alone
    import torch  # noqa: PLC0415
    from torch.nn.utils.rnn import pad_sequence  # noqa: PLC0415

    torch.set_num_threads(given.cores)
    classifier = Classifier.load(given.model)
    network = in_pytorch.Network(_recipe(classifier))
    network.eval()
    texts, _ = given.rows(given.peer_rows)
    classes = np.array(classifier.classes_, dtype=np.object_)

    def run() -> list[str]:
        encoded = classifier.encode_together(texts)
        best = np.zeros(len(texts), dtype=np.int64)
        with torch.inference_mode():
            for rows in _by_length(encoded):
                lengths = encoded.lengths[rows]
                first = encoded.starts[rows]
                ids = [
                    torch.from_numpy(encoded.ids[start : start + length])
                    for start, length in zip(first, lengths, strict=True)
                ]
                padded = pad_sequence(ids, batch_first=True)
                best[rows] = network(padded, torch.from_numpy(lengths)).argmax(dim=1).numpy()
        labels: list[str] = classes[best].tolist()
        return labels

    return by_clock(len(texts), run, list)


def in_keras(given: Given) -> Ready:
    """Gatewise's network as it is trained, by `model.predict` over batches of like length."""
    from gatewise import training  # noqa: F401, PLC0415 — sets TensorFlow's environment, so it goes first

    # isort: split
    import tensorflow as tf  # noqa: PLC0415
    from gatewise.training.config.network_section import NetworkConfig  # noqa: PLC0415
    from gatewise.training.network.build import build  # noqa: PLC0415
    from gatewise.training.network.shape import Shape  # noqa: PLC0415

    tf.config.threading.set_intra_op_parallelism_threads(given.cores)
    tf.config.threading.set_inter_op_parallelism_threads(given.cores)
    classifier = Classifier.load(given.model)
    told = classifier.artifact.config
    kept = told.gatewise.network.model_dump(exclude={"buckets", "parameters"})
    shape = Shape(
        told.vocab_size,
        len(classifier.classes_),
        told.gatewise.network.ngrams,
        told.gatewise.network.buckets,
    )
    model = build(NetworkConfig.model_validate(kept), shape, seed=1)
    texts, _ = given.rows(given.peer_rows)
    classes = np.array(classifier.classes_, dtype=np.object_)
    spec = tf.TensorSpec((None, None), tf.int32)
    signature = {"input_ids": spec, "attention_mask": spec}

    def run() -> list[str]:
        encoded = classifier.encode_together(texts)
        order = list(_by_length(encoded))
        starts = encoded.starts

        def elements() -> Iterator[dict[str, NDArray[np.int32]]]:
            for rows in order:
                batch = encoded.batch(rows, starts)
                yield {
                    "input_ids": batch.input_ids.astype(np.int32),
                    "attention_mask": batch.attention_mask.astype(np.int32),
                }

        given_batches = tf.data.Dataset.from_generator(elements, output_signature=signature)
        # Keras names its logits by nothing: one array, rows in the order of the batches.
        count = tf.data.experimental.assert_cardinality(len(order))
        logits = model.predict(given_batches.apply(count).prefetch(2), verbose=0)
        best = np.empty(len(texts), dtype=np.int64)
        best[np.concatenate(order)] = logits.argmax(axis=1)
        labels: list[str] = classes[best].tolist()
        return labels

    return by_clock(len(texts), run, list)


def node(given: Given) -> Ready:
    """Transformers.js with Gatewise's model, 32 texts of like length a call.

    Node tells the time itself, so that no pipe is timed; each turn has a round before it that is
    not.
    """
    import in_node  # noqa: PLC0415 — this way's alone

    folder = Path(given.model).resolve()
    texts, _ = given.rows(given.node_rows)
    texts = sorted(filter(str.strip, texts), key=len)
    stack = ExitStack()
    tell = stack.enter_context(in_node.held(folder.parent, Path(given.node_modules)))
    atexit.register(stack.close)
    number = tell(
        {
            "what": "pipeline",
            "model": folder.name,
            "dtype": "fp32",
            "texts": texts,
            "labels": list(read_model_folder(folder).labels.names),
            "batch": _NODE_BATCH,
        }
    )

    def run() -> Turn:
        (milliseconds,) = tell({"what": "time", "number": number, "calls": 1})
        return Turn(milliseconds / 1000)

    return Ready(len(texts), run)


def _recipe(classifier: Classifier) -> Recipe:
    """The sizes of a model's network; what concerns learning is of no account."""
    told = classifier.artifact.config
    network = told.gatewise.network
    return Recipe(
        "lstm" if network.cell == "lstm" else "gru",
        vocab_size=told.vocab_size,
        classes=len(classifier.classes_),
        embedding_size=network.embedding_size,
        units=network.units,
        dropout=0.0,
        batch_size=BATCH,
        epochs=0,
        rate=0.0,
        weight_decay=0.0,
        seed=1,
    )


def _by_length(encoded: Ragged) -> Iterator[NDArray[np.int64]]:
    """Rows of like length, a batch at a time."""
    order = np.argsort(encoded.lengths, kind="stable")
    for start in range(0, len(order), BATCH):
        yield order[start : start + BATCH]


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
