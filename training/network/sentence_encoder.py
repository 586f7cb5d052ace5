"""Vectors from a sentence encoder in ONNX: every entry of a dictionary passed through it.

The folder is as model hubs keep it: `tokenizer.json`, and the model in `onnx/model.onnx` or
`model.onnx`. An entry's vector is the model's `sentence_embedding`, or the mean of its last hidden
states over the entry's tokens. Knows nothing of what the vectors are for.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Tokenizer

from training.network.vector_files import Found, VectorsError

_MODELS = ("onnx/model.onnx", "model.onnx", "onnx/model_quantized.onnx", "model_quantized.onnx")
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_OUTPUTS = ("sentence_embedding", "last_hidden_state", "token_embeddings")
_BATCH = 256
_MAX_TOKENS = 128


def encode(folder: Path, surfaces: Mapping[int, str], vocab_size: int) -> Found:
    """The vector of every entry.

    Args:
        folder: The encoder's folder.
        surfaces: The text of each entry, by id.
        vocab_size: Ids in the dictionary.

    Raises:
        VectorsError: If the folder holds no encoder, or its answer is not a vector a text.
    """
    tokenizer = _tokenizer(folder)
    session, output = _session(folder)
    names = [value.name for value in session.get_inputs()]
    matrix: NDArray[np.float32] | None = None
    known = np.zeros(vocab_size, dtype=np.bool_)
    for ids, texts in _batches(surfaces):
        encodings = tokenizer.encode_batch(texts)
        given = {
            "input_ids": [encoding.ids for encoding in encodings],
            "attention_mask": [encoding.attention_mask for encoding in encodings],
            "token_type_ids": [encoding.type_ids for encoding in encodings],
        }
        inputs = {name: np.array(given[name], dtype=np.int64) for name in names}
        try:
            (answer,) = session.run([output], inputs)
        except Exception as error:  # onnxruntime's own classes derive from Exception alone
            raise VectorsError(f"{folder}: the encoder fails: {_first_line(error)}") from None
        vectors = _of_texts(answer, np.array(given["attention_mask"]), folder)
        if matrix is None:
            matrix = np.zeros((vocab_size, vectors.shape[1]), dtype=np.float32)
        matrix[ids] = vectors
        known[ids] = True
    if matrix is None:
        raise VectorsError(f"{folder}: the dictionary has no entry to encode")
    return Found(matrix, known)


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
    try:
        session = ort.InferenceSession(str(files[0]), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes derive from Exception alone
        raise VectorsError(f"{files[0]}: onnxruntime refuses it: {_first_line(error)}") from None
    inputs = {value.name for value in session.get_inputs()}
    outputs = [value.name for value in session.get_outputs()]
    output = next((name for name in _OUTPUTS if name in outputs), None)
    if "input_ids" not in inputs or not inputs <= set(_INPUTS) or output is None:
        raise VectorsError(
            f"{files[0]}: expected a sentence encoder with inputs among {', '.join(_INPUTS)} and "
            f"an output {' or '.join(_OUTPUTS)}, received inputs {', '.join(sorted(inputs))} and "
            f"outputs {', '.join(outputs)}"
        )
    return session, output


def _batches(surfaces: Mapping[int, str]) -> Iterator[tuple[list[int], list[str]]]:
    """Ids and texts, those of like length together, so that little is spent on padding."""
    ids = sorted(surfaces, key=lambda id_: (len(surfaces[id_]), id_))
    for start in range(0, len(ids), _BATCH):
        batch = ids[start : start + _BATCH]
        yield batch, [surfaces[id_] for id_ in batch]


def _of_texts(answer: Any, mask: NDArray[np.int64], folder: Path) -> NDArray[np.float32]:
    if answer.ndim == 3:
        counted = mask[:, :, None].astype(np.float32)
        answer = (answer * counted).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)
    if answer.ndim != 2 or len(answer) != len(mask):
        raise VectorsError(
            f"{folder}: expected the encoder to answer with a vector for each text or token, "
            f"received the shape {answer.shape} for {len(mask)} texts"
        )
    if not np.isfinite(answer).all():
        raise VectorsError(f"{folder}: the encoder answers with numbers that are not finite")
    return np.asarray(answer, dtype=np.float32)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
