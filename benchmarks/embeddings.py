"""Sentence embeddings and logistic regression: the classifier on top of a model that is not small.

A text's vector depends on the text alone, so vectors are kept on disk, with the time that each
took, and are found again for another seed. Knows the encoder as two files, `model.onnx` and
`tokenizer.json`, as `encoder` writes them.
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from peers import LR_GRID, Linear, Outcome, Settings, best_of
from sklearn.linear_model import LogisticRegression
from splits import Part, Split
from tokenizers import Encoding, Tokenizer

MAX_TOKENS = 128
"""Tokens read of a text."""

_BATCH_TOKENS = 8192
_SAVE_SECONDS = 60.0

Vectors = NDArray[np.float32]


@dataclass
class Embeddings:
    """Logistic regression on the vectors of a sentence encoder.

    Attributes:
        encoder: Folder with `model.onnx` and `tokenizer.json`.
        kept: Folder in which vectors are kept.
    """

    encoder: Path
    kept: Path
    title: str = "sentence embeddings + LR"
    _loaded: "Encoder | None" = field(default=None, init=False)

    def settings(self, name: str) -> Settings:  # noqa: ARG002 — the same for every set
        """Which encoder, how much of a text it reads, and the grid of C."""
        return {"encoder": self.encoder.name, "max_tokens": MAX_TOKENS, "grid": LR_GRID}

    def measure(self, split: Split, seed: int) -> Outcome:  # noqa: ARG002 — nothing is random
        """Encodes the texts, and finds C on those of validation."""
        if self._loaded is None:
            self._loaded = Encoder(self.encoder)
        file = self.kept / f"{self.encoder.name}-{MAX_TOKENS}-{split.name}.npz"
        store = Store(file, self._loaded)
        train, train_seconds = store.vectors(split.train)
        validation, validation_seconds = store.vectors(split.validation)

        def fitted(c: float) -> Linear:
            model: Linear = LogisticRegression(C=c, max_iter=1000)
            return model.fit(train, split.train.labels)

        start = time.process_time()
        best = best_of(LR_GRID, fitted, validation, split.validation.labels)
        seconds = time.process_time() - start + train_seconds + validation_seconds
        test, _ = store.vectors(split.test)
        accuracy = best.model.score(test, split.test.labels)
        return Outcome(accuracy, best.validation, seconds, f"C={best.c:g}")


class Encoder:
    """A sentence encoder on one thread: the mean of its last hidden states, of length one."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )

    def encode(self, texts: Sequence[str]) -> Iterator[tuple[list[int], Vectors, float]]:
        """Texts in batches of one length, or nearly: `(which, vectors, seconds of each)`."""
        start = time.process_time()
        encodings = self._tokenizer.encode_batch(list(texts))
        cutting = (time.process_time() - start) / max(1, len(texts))
        order = sorted(range(len(texts)), key=lambda i: len(encodings[i].ids))
        while order:
            # The longest come first, so that whether the machine can do it shows at once.
            which = order[-max(1, _BATCH_TOKENS // len(encodings[order[-1]].ids)) :]
            del order[-len(which) :]
            start = time.process_time()
            vectors = self._batch([encodings[i] for i in which])
            yield which, vectors, cutting + (time.process_time() - start) / len(which)

    def _batch(self, encodings: Sequence[Encoding]) -> Vectors:
        lengths = np.array([len(encoding.ids) for encoding in encodings])
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.zeros(mask.shape, dtype=np.int64)
        ids[mask] = np.concatenate([encoding.ids for encoding in encodings])
        given = {"input_ids": ids, "attention_mask": mask.astype(np.int64)}
        (states,) = self._session.run(["last_hidden_state"], given)
        mean = (states * mask[:, :, None]).sum(axis=1) / lengths[:, None]
        normal: Vectors = (mean / np.linalg.norm(mean, axis=1, keepdims=True)).astype(np.float32)
        return normal


class Store:
    """The vectors of one set's texts, in a file."""

    def __init__(self, file: Path, encoder: Encoder) -> None:
        self._file = file
        self._encoder = encoder
        self._known: dict[str, tuple[Vectors, float]] = {}
        if file.is_file():
            with np.load(file) as kept:
                rows = zip(kept["keys"].tolist(), kept["vectors"], kept["seconds"], strict=True)
                self._known = {key: (vector, float(took)) for key, vector, took in rows}

    def vectors(self, part: Part) -> tuple[Vectors, float]:
        """The vectors of the texts, `(texts, width)`, and the seconds that they took in all."""
        keys = [hashlib.sha256(text.encode()).hexdigest()[:32] for text in part.texts]
        lacking = {
            key: text for key, text in zip(keys, part.texts, strict=True) if key not in self._known
        }
        names = list(lacking)
        saved = time.monotonic()
        for which, vectors, took in self._encoder.encode(list(lacking.values())):
            self._known |= {names[i]: (row, took) for i, row in zip(which, vectors, strict=True)}
            if time.monotonic() - saved > _SAVE_SECONDS:
                self._save()
                saved = time.monotonic()
        if lacking:
            self._save()
        found = [self._known[key] for key in keys]
        return np.stack([vector for vector, _ in found]), sum(took for _, took in found)

    def _save(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        vectors, seconds = zip(*self._known.values(), strict=True)
        partial = self._file.with_suffix(".partial.npz")
        np.savez(
            partial,
            keys=np.array(list(self._known)),
            vectors=np.stack(vectors),
            seconds=np.array(seconds, dtype=np.float32),
        )
        partial.replace(self._file)
