"""Static vectors of a vocabulary's tokens from a sentence encoder in ONNX.

The folder has the layout of model hubs: `tokenizer.json`, and the model in `onnx/model.onnx` or
`model.onnx`. An encoder's states depend on the context, so it reads training texts, and a token's
vector is the mean of its last hidden states over its occurrences (Bommasani et al. 2020,
"Interpreting Pretrained Contextualized Representations via Reductions to Static Embeddings").
Reading stops once every token has occurred a few times, or at the end of the texts. Tokens that
never occurred are encoded alone, and so are all tokens if the encoder has one vector per text.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import numpy_helper
from tokenizers import Encoding, Tokenizer

from gatewise.training.network.vector_files import FoundVectors, VectorsError
from gatewise.vocab.errors import first_line

_MODELS = ("onnx/model.onnx", "model.onnx", "onnx/model_quantized.onnx", "model_quantized.onnx")
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_TOKEN_OUTPUTS = ("last_hidden_state", "token_embeddings")
_TEXT_OUTPUTS = ("sentence_embedding",)
_BATCH = 32
_MAX_TOKENS = 128
_WINDOW = 1024

_SPAN_TOKENS = 32
"""Tokens of a text that the encoder reads together."""

_OCCURRENCES = 4
"""Occurrences of a token after which no more spans are read for it."""


def encode(
    folder: Path,
    surfaces: Mapping[int, str],
    vocab_size: int,
    tokenizer: Tokenizer,
    texts: Iterable[str],
) -> FoundVectors:
    """Computes the vector of every token of a tokenizer; the encoder has its own tokenizer.

    Args:
        folder: The encoder's folder.
        surfaces: The text of each token, by id.
        vocab_size: Ids in the vocabulary.
        tokenizer: The tokenizer whose tokens get vectors.
        texts: Texts in which the tokens occur; read once, in a stream.

    Raises:
        VectorsError: If the folder has no encoder, or its output is not a vector for each text.
    """
    encoder = _SentenceEncoder(folder)
    means = _MeanVectors(vocab_size, folder)
    if encoder.per_token:
        wanted = np.zeros(vocab_size, dtype=np.bool_)
        wanted[list(surfaces)] = True
        missing = _OCCURRENCES * wanted.astype(np.int64)
        spans = _spans_to_read(encoder, tokenizer, texts, missing)
        while window := list(islice(spans, _WINDOW)):
            for batch in _batches(window):
                for span, hidden in zip(batch, encoder.states(batch), strict=True):
                    read, vectors = _token_vectors(span, *hidden)
                    ids = span.ids[read]
                    means.add(ids[wanted[ids]], vectors[wanted[ids]])
    alone = [
        _Passage(surfaces[id_], np.array([id_]), np.array([[0, len(surfaces[id_])]]))
        for id_ in sorted(surfaces)
        if not means.counts[id_]
    ]
    for batch in _batches(alone):
        means.add(np.concatenate([span.ids for span in batch]), encoder.vectors(batch))
    return means.result()


@dataclass(frozen=True)
class _Passage:
    """Consecutive tokens of a text: ids `(tokens,)`, and where in the text, `(tokens, 2)`."""

    text: str
    ids: NDArray[np.int64]
    offsets: NDArray[np.int64]


class _MeanVectors:
    """Running means of the vectors of each token; `counts` is how many it has, `(vocab,)`."""

    def __init__(self, vocab_size: int, folder: Path) -> None:
        self.counts = np.zeros(vocab_size, dtype=np.int64)
        self._sums: NDArray[np.float64] | None = None
        self._folder = folder

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        if not np.isfinite(vectors).all():
            raise VectorsError(
                f"{self._folder}: the encoder's output has numbers that are not finite"
            )
        if self._sums is None:
            self._sums = np.zeros((len(self.counts), vectors.shape[1]))
        np.add.at(self._sums, ids, vectors)
        np.add.at(self.counts, ids, 1)

    def result(self) -> FoundVectors:
        if self._sums is None:
            raise VectorsError(f"{self._folder}: the vocabulary has no token to encode")
        matrix = self._sums / np.maximum(self.counts, 1)[:, None]
        return FoundVectors(matrix.astype(np.float32), self.counts > 0)


class _SentenceEncoder:
    """The model and its tokenizer; `per_token` if it has a vector for every token of a text."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tokenizer = load_tokenizer(folder, _MAX_TOKENS)
        self._model = OnnxEncoder(folder)
        self.per_token = self._model.per_token

    def states(
        self, spans: list[_Passage]
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        """The hidden states of each span, without special tokens, and their offsets in it."""
        encodings, output = self._run(spans)
        for encoding, states in zip(encodings, output, strict=True):
            real = np.array(encoding.attention_mask) > 0
            real &= np.array(encoding.special_tokens_mask) == 0
            yield states[real], np.array(encoding.offsets)[real]

    def truncate(self, span: _Passage) -> _Passage:
        """The part of a span that fits the encoder's maximum length, at least one token."""
        (encoding,) = self._encode([span])
        if not encoding.overflowing:
            return span
        end = max(end for _, end in encoding.offsets)
        read = max(1, int(np.searchsorted(span.offsets[:, 1], end, side="right")))
        return _Passage(
            span.text[: int(span.offsets[:read].max())], span.ids[:read], span.offsets[:read]
        )

    def vectors(self, spans: list[_Passage]) -> NDArray[np.float32]:
        """One vector for each span: the encoder's, or the mean over its tokens."""
        encodings, output = self._run(spans)
        if self.per_token:
            mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.float32)
            total = (output * mask[:, :, None]).sum(axis=1)
            output = total / np.maximum(mask.sum(axis=1), 1)[:, None]
        return output

    def _encode(self, spans: list[_Passage]) -> list[Encoding]:
        return encode_texts(self._folder, self._tokenizer, [span.text for span in spans])

    def _run(self, spans: list[_Passage]) -> tuple[list[Encoding], NDArray[np.float32]]:
        encodings = self._encode(spans)
        inputs = {
            "input_ids": [encoding.ids for encoding in encodings],
            "attention_mask": [encoding.attention_mask for encoding in encodings],
            "token_type_ids": [encoding.type_ids for encoding in encodings],
        }
        arrays = {name: np.array(values, dtype=np.int64) for name, values in inputs.items()}
        return encodings, self._model.run(arrays)


def _spans_to_read(
    encoder: _SentenceEncoder,
    tokenizer: Tokenizer,
    texts: Iterable[str],
    missing: NDArray[np.int64],
) -> Iterator[_Passage]:
    """The spans with a token that has missing occurrences; counts them off in `missing`."""
    stream = iter(texts)
    while window := list(islice(stream, _WINDOW)):
        encodings = tokenizer.encode_batch(window, add_special_tokens=False)
        for text, encoding in zip(window, encodings, strict=True):
            ids, offsets = np.array(encoding.ids), np.array(encoding.offsets)
            start = 0
            while start < len(ids):
                part = slice(start, start + _SPAN_TOKENS)
                if not (missing[ids[part]] > 0).any():
                    start = part.stop
                    continue
                # Without the white space around the span.
                first, last = int(offsets[part].min()), int(offsets[part].max())
                span = encoder.truncate(
                    _Passage(text[first:last], ids[part], offsets[part] - first)
                )
                np.subtract.at(missing, span.ids, 1)
                yield span
                # The next span begins with the tokens that were truncated.
                start += len(span.ids)


def _token_vectors(
    span: _Passage, states: NDArray[np.float32], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Which tokens of a span the encoder read, and the mean of the states of each of these.

    `states` and their `offsets` are those of the encoder's own tokens, `(encoder tokens, width)`
    and `(encoder tokens, 2)`.
    """
    overlaps = np.minimum(span.offsets[:, None, 1], offsets[None, :, 1]) > np.maximum(
        span.offsets[:, None, 0], offsets[None, :, 0]
    )
    count = overlaps.sum(axis=1)
    read = count > 0
    means = overlaps[read].astype(np.float32) @ states / count[read, None]
    return read, means.astype(np.float32)


def _batches(spans: list[_Passage]) -> Iterator[list[_Passage]]:
    """Batches of spans of similar length, which need little padding."""
    ordered = sorted(spans, key=lambda span: len(span.text))
    for start in range(0, len(ordered), _BATCH):
        yield ordered[start : start + _BATCH]


def load_tokenizer(folder: Path, max_tokens: int) -> Tokenizer:
    """The tokenizer of an encoder, which pads the texts of a batch and truncates long ones.

    Args:
        folder: The encoder's folder.
        max_tokens: Tokens of a text that are read, at most.

    Raises:
        VectorsError: If there is none, or it cannot be used.
    """
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise VectorsError(f"{folder}: expected a sentence encoder's tokenizer.json, found none")
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the Rust side raises Exception itself
        raise VectorsError(f"{file}: not a tokenizer: {first_line(error)}") from None
    padding = tokenizer.padding or {}
    pad = padding.get("pad_token", "[PAD]")
    tokenizer.enable_padding(pad_id=padding.get("pad_id", 0), pad_token=pad)
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def model_file(folder: Path) -> Path | None:
    """The most exact ONNX model of a folder; None if it has none."""
    return next((folder / name for name in _MODELS if (folder / name).is_file()), None)


def encode_texts(folder: Path, tokenizer: Tokenizer, texts: Sequence[str]) -> list[Encoding]:
    """The tokens of some texts.

    Args:
        folder: The encoder's folder.
        tokenizer: Its tokenizer.
        texts: The texts.

    Raises:
        VectorsError: If the tokenizer fails.
    """
    try:
        return tokenizer.encode_batch(list(texts))
    except Exception as error:  # the Rust side raises Exception itself
        raise VectorsError(
            f"{folder}: the tokenizer cannot encode a text: {first_line(error)}"
        ) from None


class OnnxEncoder:
    """The ONNX model of an encoder; `per_token` if it has a vector for every token of a text."""

    def __init__(self, folder: Path) -> None:
        """Loads the model of a folder, on one thread.

        Raises:
            VectorsError: If the folder has no encoder, or it cannot be used.
        """
        file = model_file(folder)
        if file is None:
            raise VectorsError(
                f"{folder}: expected a sentence encoder in one of {', '.join(_MODELS)}, found none"
            )
        options = ort.SessionOptions()
        options.log_severity_level = 4
        # The order of sums depends on the number of threads.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own classes derive from Exception alone
            raise VectorsError(f"{file}: onnxruntime cannot load it: {first_line(error)}") from None
        self._names = [value.name for value in session.get_inputs()]
        outputs = [value.name for value in session.get_outputs()]
        known = (*_TOKEN_OUTPUTS, *_TEXT_OUTPUTS)
        output = next((name for name in known if name in outputs), None)
        if "input_ids" not in self._names or not {*self._names} <= {*_INPUTS} or output is None:
            raise VectorsError(
                f"{file}: expected a sentence encoder with inputs among {', '.join(_INPUTS)} and "
                f"an output {' or '.join(known)}, received inputs "
                f"{', '.join(sorted(self._names))} and outputs {', '.join(outputs)}"
            )
        self._folder, self._file, self._session, self._output = folder, file, session, output
        self.per_token = output in _TOKEN_OUTPUTS

    def run(self, inputs: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """The state of each token, `(texts, tokens, width)`, or the vector of each text.

        Args:
            inputs: What encoders read, each `(texts, tokens)`; what this one does not is left out.

        Raises:
            VectorsError: If it fails, or gives anything else.
        """
        try:
            (output,) = self._session.run([self._output], {n: inputs[n] for n in self._names})
        except Exception as error:  # onnxruntime's own classes derive from Exception alone
            raise VectorsError(f"{self._folder}: the encoder fails: {first_line(error)}") from None
        shape = inputs["input_ids"].shape if self.per_token else inputs["input_ids"].shape[:1]
        if output.ndim != len(shape) + 1 or output.shape[:-1] != shape:
            raise VectorsError(
                f"{self._folder}: expected the encoder to return a vector for each text or token, "
                f"received the shape {output.shape} for {shape[0]} texts"
            )
        found: NDArray[np.float32] = output.astype(np.float32)
        return found

    def word_vectors(self) -> NDArray[np.float32] | None:
        """The vector of each token before the first layer, `(vocab, width)`.

        None if the graph does not look tokens up in a table of numbers, as where it is quantized.
        """
        graph = onnx.load(str(self._file)).graph
        tables = {node.input[0] for node in graph.node if list(node.input[1:]) == ["input_ids"]}
        for table in graph.initializer:
            if table.name in tables and len(table.dims) == 2:
                found = numpy_helper.to_array(table)
                if found.dtype.kind == "f":
                    return np.asarray(found, dtype=np.float32)
        return None
