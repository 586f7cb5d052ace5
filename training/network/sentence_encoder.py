"""Vectors from a sentence encoder in ONNX: what it makes of every entry of a dictionary.

The folder is as model hubs keep it: `tokenizer.json`, and the model in `onnx/model.onnx` or
`model.onnx`. What a word means to an encoder depends on the words around it, so the encoder reads
training texts, and an entry's vector is the mean of its last hidden states wherever the entry
stands in them (Bommasani et al. 2020, "Interpreting Pretrained Contextualized Representations via
Reductions to Static Embeddings"). Texts are read until every entry was met a few times, if the
texts have it as often. An encoder that answers with one vector for a text gets every entry alone,
as does any encoder the entries that it met nowhere.

Knows nothing of what the vectors are for.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from gatewise.training.network.vector_files import FoundVectors, VectorsError
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

_MODELS = ("onnx/model.onnx", "model.onnx", "onnx/model_quantized.onnx", "model_quantized.onnx")
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_OF_TOKENS = ("last_hidden_state", "token_embeddings")
_OF_TEXTS = ("sentence_embedding",)
_BATCH = 32
_MAX_TOKENS = 128
_WINDOW = 1024

_STRETCH = 32
"""Entries of a text that the encoder reads together."""

_ENOUGH = 4
"""How often an entry is met before no stretch is read for its sake."""


def encode(
    folder: Path,
    surfaces: Mapping[int, str],
    vocab_size: int,
    dictionary: Tokenizer,
    texts: Iterable[str],
) -> FoundVectors:
    """The vector of every entry.

    Args:
        folder: The encoder's folder.
        surfaces: The text of each entry, by id.
        vocab_size: Ids in the dictionary.
        dictionary: What cuts texts into entries.
        texts: Texts that the entries stand in; read once, in a stream.

    Raises:
        VectorsError: If the folder holds no encoder, or its answer is not a vector a text.
    """
    encoder = _Encoder(folder)
    means = _Means(vocab_size, folder)
    if encoder.of_tokens:
        wanted = np.zeros(vocab_size, dtype=np.bool_)
        wanted[list(surfaces)] = True
        missing = _ENOUGH * wanted.astype(np.int64)
        stretches = _stretches(encoder, dictionary, texts, missing)
        while window := list(islice(stretches, _WINDOW)):
            for batch in _of_like_length(window):
                for stretch, answer in zip(batch, encoder.states(batch), strict=True):
                    read, vectors = _of_entries(stretch, answer)
                    ids = stretch.ids[read]
                    means.add(ids[wanted[ids]], vectors[wanted[ids]])
    alone = [
        _Stretch(surfaces[id_], np.array([id_]), np.array([[0, len(surfaces[id_])]]))
        for id_ in sorted(surfaces)
        if not means.counts[id_]
    ]
    for batch in _of_like_length(alone):
        means.add(np.concatenate([stretch.ids for stretch in batch]), encoder.vectors(batch))
    return means.found()


@dataclass(frozen=True)
class _Stretch:
    """Entries side by side in a text: its characters, the ids, `(entries,)`, and where each is."""

    text: str
    ids: NDArray[np.int64]
    spans: NDArray[np.int64]


@dataclass(frozen=True)
class _Answer:
    """The last hidden states of a stretch, `(tokens, width)`, and where each token is in it."""

    states: NDArray[np.float32]
    spans: NDArray[np.int64]


class _Means:
    """Means of the vectors of each entry.

    Attributes:
        counts: How many vectors each has so far.
    """

    def __init__(self, vocab_size: int, folder: Path) -> None:
        self.counts = np.zeros(vocab_size, dtype=np.int64)
        self._sums: NDArray[np.float64] | None = None
        self._folder = folder

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        if not np.isfinite(vectors).all():
            raise VectorsError(
                f"{self._folder}: the encoder answers with numbers that are not finite"
            )
        if self._sums is None:
            self._sums = np.zeros((len(self.counts), vectors.shape[1]))
        np.add.at(self._sums, ids, vectors)
        np.add.at(self.counts, ids, 1)

    def found(self) -> FoundVectors:
        if self._sums is None:
            raise VectorsError(f"{self._folder}: the dictionary has no entry to encode")
        matrix = self._sums / np.maximum(self.counts, 1)[:, None]
        return FoundVectors(matrix.astype(np.float32), self.counts > 0)


class _Encoder:
    """The model and its tokenizer.

    Attributes:
        of_tokens: Whether it answers with a vector for every token, and not only for every text.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tokenizer = _tokenizer(folder)
        self._session, self._output = _session(folder)
        self._names = [value.name for value in self._session.get_inputs()]
        self.of_tokens = self._output in _OF_TOKENS

    def states(self, stretches: list[_Stretch]) -> Iterator[_Answer]:
        """What an encoder of tokens answers for each stretch."""
        encodings, answer = self._answer(stretches)
        for encoding, states in zip(encodings, answer, strict=True):
            real = np.array(encoding.attention_mask) > 0
            # Marks at the ends stand for no characters.
            real &= np.array(encoding.special_tokens_mask) == 0
            yield _Answer(states[real], np.array(encoding.offsets)[real])

    def cut(self, stretch: _Stretch) -> _Stretch:
        """The part of a stretch that it reads, one entry at the least."""
        (encoding,) = self._encoded([stretch])
        if not encoding.overflowing:
            return stretch
        reach = max(end for _, end in encoding.offsets)
        read = max(1, int(np.searchsorted(stretch.spans[:, 1], reach, side="right")))
        return _Stretch(
            stretch.text[: int(stretch.spans[:read].max())],
            stretch.ids[:read],
            stretch.spans[:read],
        )

    def vectors(self, stretches: list[_Stretch]) -> NDArray[np.float32]:
        """One vector for each stretch, the mean of its tokens' if those have each one."""
        encodings, answer = self._answer(stretches)
        if self.of_tokens:
            mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.float32)
            total = (answer * mask[:, :, None]).sum(axis=1)
            answer = total / np.maximum(mask.sum(axis=1), 1)[:, None]
        return np.asarray(answer, dtype=np.float32)

    def _encoded(self, stretches: list[_Stretch]) -> list[Encoding]:
        try:
            return self._tokenizer.encode_batch([stretch.text for stretch in stretches])
        except Exception as error:  # the Rust side raises Exception itself
            raise VectorsError(
                f"{self._folder}: the tokenizer cannot encode a text: {_first_line(error)}"
            ) from None

    def _answer(self, stretches: list[_Stretch]) -> tuple[list[Encoding], Any]:
        encodings = self._encoded(stretches)
        given = {
            "input_ids": [encoding.ids for encoding in encodings],
            "attention_mask": [encoding.attention_mask for encoding in encodings],
            "token_type_ids": [encoding.type_ids for encoding in encodings],
        }
        inputs = {name: np.array(given[name], dtype=np.int64) for name in self._names}
        try:
            (answer,) = self._session.run([self._output], inputs)
        except Exception as error:  # onnxruntime's own classes derive from Exception alone
            raise VectorsError(f"{self._folder}: the encoder fails: {_first_line(error)}") from None
        rows, dimensions = len(stretches), 3 if self.of_tokens else 2
        tokens = (len(encodings[0].ids),) if self.of_tokens else ()
        if answer.ndim != dimensions or answer.shape[:-1] != (rows, *tokens):
            raise VectorsError(
                f"{self._folder}: expected the encoder to answer with a vector for each text or "
                f"token, received the shape {answer.shape} for {rows} texts"
            )
        return encodings, answer


def _stretches(
    encoder: _Encoder, dictionary: Tokenizer, texts: Iterable[str], missing: NDArray[np.int64]
) -> Iterator[_Stretch]:
    """The stretches that hold an entry that is missing still, which are taken off its number."""
    stream = iter(texts)
    while window := list(islice(stream, _WINDOW)):
        encodings = dictionary.encode_batch(window, add_special_tokens=False)
        for text, encoding in zip(window, encodings, strict=True):
            ids, spans = np.array(encoding.ids), np.array(encoding.offsets)
            start = 0
            while start < len(ids):
                part = slice(start, start + _STRETCH)
                if not (missing[ids[part]] > 0).any():
                    start = part.stop
                    continue
                first, last = int(spans[part].min()), int(spans[part].max())
                # Spaces around a stretch are no part of it.
                stretch = _Stretch(text[first:last], ids[part], spans[part] - first)
                read = encoder.cut(stretch)
                np.subtract.at(missing, read.ids, 1)
                yield read
                # What the encoder did not read begins the next one.
                start += len(read.ids)


def _of_entries(
    stretch: _Stretch, answer: _Answer
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Which entries of a stretch the encoder read, and the mean of the states of each of those."""
    overlaps = np.minimum(stretch.spans[:, None, 1], answer.spans[None, :, 1]) > np.maximum(
        stretch.spans[:, None, 0], answer.spans[None, :, 0]
    )
    tokens = overlaps.sum(axis=1)
    read = tokens > 0
    means = overlaps[read].astype(np.float32) @ answer.states / tokens[read, None]
    return read, means.astype(np.float32)


def _of_like_length(stretches: list[_Stretch]) -> Iterator[list[_Stretch]]:
    """Batches, those of like length together, so that little is spent on padding."""
    ordered = sorted(stretches, key=lambda stretch: len(stretch.text))
    for start in range(0, len(ordered), _BATCH):
        yield ordered[start : start + _BATCH]


def _tokenizer(folder: Path) -> Tokenizer:
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise VectorsError(f"{folder}: expected a sentence encoder's tokenizer.json, found none")
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the Rust side raises Exception itself
        raise VectorsError(f"{file}: not a tokenizer: {_first_line(error)}") from None
    padding = tokenizer.padding or {}
    pad = padding.get("pad_token", "[PAD]")
    tokenizer.enable_padding(pad_id=padding.get("pad_id", 0), pad_token=pad)
    tokenizer.enable_truncation(_MAX_TOKENS)
    return tokenizer


def _session(folder: Path) -> tuple[ort.InferenceSession, str]:
    """The model, and the name of its output that is read."""
    files = [folder / name for name in _MODELS if (folder / name).is_file()]
    if not files:
        raise VectorsError(
            f"{folder}: expected a sentence encoder in one of {', '.join(_MODELS)}, found none"
        )
    options = ort.SessionOptions()
    options.log_severity_level = 4
    # Sums would depend on the number of cores.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = ort.InferenceSession(str(files[0]), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes derive from Exception alone
        raise VectorsError(f"{files[0]}: onnxruntime refuses it: {_first_line(error)}") from None
    inputs = {value.name for value in session.get_inputs()}
    outputs = [value.name for value in session.get_outputs()]
    known = (*_OF_TOKENS, *_OF_TEXTS)
    output = next((name for name in known if name in outputs), None)
    if "input_ids" not in inputs or not inputs <= set(_INPUTS) or output is None:
        raise VectorsError(
            f"{files[0]}: expected a sentence encoder with inputs among {', '.join(_INPUTS)} and "
            f"an output {' or '.join(known)}, received inputs {', '.join(sorted(inputs))} and "
            f"outputs {', '.join(outputs)}"
        )
    return session, output


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
