"""Pruning of a trained ONNX network: fewer tokens, fewer n-grams, narrower vectors.

Works on networks that `gatewise.training.onnx_export.keras_to_onnx` writes.

- **Tokens** that are removed become unknown. Those kept are renumbered in order; a table gives the
  n-gram path their old ids, which it hashes.
- **N-grams** that are removed have no weights. A bitmap says which rows of the table are kept, with
  the number of kept rows before each of its bytes: a few integer operators find the new row, and a
  removed row costs three bits (a rank structure; Jacobson, 1989,
  https://doi.org/10.1109/SFCS.1989.63533).
- **Vectors** of tokens, and rows of the n-gram table, are projected to their principal axes; the
  projection is multiplied into the weights that follow. N-grams that have a weight for every class
  get such a weight matrix.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from gatewise.training.mobile.onnx_parts import (
    EMBEDDING,
    FIRST_KERNEL,
    IDF,
    NGRAM_KERNEL,
    NGRAMS,
    OnnxParts,
    Weights,
)
from gatewise.vocab.tokenizer.tokenizer import PAD_ID, SPECIAL_TOKENS

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class PruningPlan:
    """What is kept of a network; None keeps everything.

    Attributes:
        tokens: Ids of the tokens kept, ascending, including the special tokens.
        ngrams: Rows of the n-gram table kept, ascending.
        absent_idf: The IDF of an n-gram without a row, which counts in a text's norm.
        width: Dimensions of the token vectors.
        ngram_width: Dimensions of the rows of the n-gram table.
    """

    tokens: Ids | None = None
    ngrams: Ids | None = None
    absent_idf: float = 0.0
    width: int | None = None
    ngram_width: int | None = None


def prune(model: onnx.ModelProto, plan: PruningPlan) -> onnx.ModelProto:
    """A pruned copy of a network with weights in 32-bit floats.

    `plan.width` requires a network with token vectors, `ngrams` and `ngram_width` one with n-grams.
    """
    network = OnnxParts.copy_of(model)
    if plan.width is not None:
        _narrow(network, plan.width)
    if plan.ngram_width is not None:
        _narrow_ngrams(network, plan.ngram_width)
    if plan.ngrams is not None:
        _keep_ngrams(network, plan.ngrams, plan.absent_idf)
    if plan.tokens is not None:
        _keep_tokens(network, plan.tokens)
    onnx.checker.check_model(network.model, full_check=True)
    return network.model


def is_pruned(network: OnnxParts) -> bool:
    """Whether `prune` has removed tokens or n-grams: such a network cannot be pruned again."""
    return "tokens.old" in network or "ngrams.kept" in network


def token_tables(network: OnnxParts) -> list[str]:
    """The tables with a row for each token: the embedding, or the kernels of a one-hot input."""
    if EMBEDDING in network:
        return [EMBEDDING]
    return sorted(name for name in network if name.endswith(".rows"))


def ngram_effect(network: OnnxParts, *, multi_label: bool) -> NDArray[np.float64]:
    """The effect of each row of the n-gram table over the training texts, `(rows,)`.

    The norm of its contribution to the logits, times its document frequency up to a factor. For a
    softmax, the mean over the classes is subtracted first, as it changes no probability. The
    document frequency follows from `idf = 1 + ln((1 + texts) / (1 + document frequency))`. Padding
    and n-grams of no training text have no effect.
    """
    weights = network[NGRAMS].astype(np.float64)
    if NGRAM_KERNEL in network:
        kernel = network[NGRAM_KERNEL].astype(np.float64)
        if not multi_label:
            kernel = kernel - kernel.mean(axis=1, keepdims=True)
        # The rows have the norms of `weights @ kernel`, which would have rows × classes numbers.
        _, factor = np.linalg.qr(kernel.T)
        weights = weights @ factor.T
    elif not multi_label:
        weights = weights - weights.mean(axis=1, keepdims=True)
    return np.asarray(np.linalg.norm(weights, axis=1) * _document_frequency(network[IDF]))


def _document_frequency(idf: Weights) -> NDArray[np.float64]:
    """The document frequency of n-grams up to a factor, from their IDF; see `ngram_effect`."""
    wide = idf.astype(np.float64)
    return np.where(wide > 0, np.exp(wide.max() - wide), 0.0)


def token_effect(
    network: OnnxParts, ngrams: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """The effect of each token over the training texts, `(tokens,)`; infinity for special tokens.

    From its weights in the n-gram path if single tokens have weights there (`ngrams` is the
    network's `ngram_effect`); else from its id, as ids are in order of frequency.
    """
    tokens = len(network[token_tables(network)[0]])
    effect = 1.0 / np.arange(1, tokens + 1)
    if ngrams is not None and len(ngrams) >= tokens and ngrams[:tokens].any():
        effect = ngrams[:tokens].copy()
    effect[: len(SPECIAL_TOKENS)] = np.inf
    return effect


def _narrow(network: OnnxParts, width: int) -> None:
    table, kernel = network[EMBEDDING].astype(np.float64), network[FIRST_KERNEL]
    frequency = 1.0 / np.arange(1, len(table) + 1)
    if IDF in network and (network[IDF][: len(table)] > 0).any():
        frequency = _document_frequency(network[IDF][: len(table)])
    frequency[: len(SPECIAL_TOKENS)] = frequency.max()
    frequency[PAD_ID] = 0.0  # which no text has
    # The principal axes of the vectors, weighted by frequency and not centered.
    _, directions = np.linalg.eigh((table * frequency[:, None]).T @ table)
    axes = directions[:, ::-1][:, :width]
    network[EMBEDDING] = (table @ axes).astype(np.float32)
    network[FIRST_KERNEL] = (kernel.astype(np.float64) @ axes).astype(np.float32)


def _narrow_ngrams(network: OnnxParts, width: int) -> None:
    table = network[NGRAMS].astype(np.float64)
    has_kernel = NGRAM_KERNEL in network
    kernel = network[NGRAM_KERNEL].astype(np.float64) if has_kernel else np.eye(table.shape[1])
    frequency = _document_frequency(network[IDF])
    # The principal axes of `table @ kernel`, weighted by frequency, from a matrix with the same
    # axes that has only as many rows as the table has columns.
    values, vectors = np.linalg.eigh((table * frequency[:, None]).T @ table)
    small = (np.sqrt(np.maximum(values, 0))[:, None] * vectors.T) @ kernel
    _, _, directions = np.linalg.svd(small, full_matrices=False)
    axes = directions[:width]
    network[NGRAMS] = (table @ (kernel @ axes.T)).astype(np.float32)
    network[NGRAM_KERNEL] = axes.astype(np.float32)
    if not has_kernel:
        _add_kernel(network)


def _add_kernel(network: OnnxParts) -> None:
    """Multiplies the sum of a text's rows by the kernel, in a network that had none."""
    (found,) = (node.output[0] for node in network.lookups(NGRAMS))
    nodes = list(network.model.graph.node)
    index, summed = next(
        (index, node)
        for index, node in enumerate(nodes)
        if node.op_type == "ReduceSum" and node.input[0] == found
    )
    wide = summed.output[0]
    summed.output[0] = f"{wide}.narrow"
    inputs = [summed.output[0], NGRAM_KERNEL]
    network.insert(index + 1, [helper.make_node("MatMul", inputs, [wide], f"{wide}.multiplied")])


def _keep_tokens(network: OnnxParts, tokens: Ids) -> None:
    tables = token_tables(network)
    for name in tables:
        network[name] = network[name][tokens]
    (ids, *_) = {node.input[1] for node in network.lookups(*tables)}
    readers = [
        (index, node)
        for index, node in enumerate(network.model.graph.node)
        if ids in node.input and node.input[0] not in tables
    ]
    if not readers:
        return
    nodes = _integer_lookup(network, "tokens.old", tokens, at=ids, to="old_ids")
    for _, node in readers:
        for position, name in enumerate(node.input):
            if name == ids:
                node.input[position] = "old_ids"
    network.insert(readers[0][0], nodes)


def _keep_ngrams(network: OnnxParts, kept: Ids, absent_idf: float) -> None:
    """Keeps these rows after two others: row 0 for removed n-grams, row 1 for padding."""
    weights, idf = network[NGRAMS], network[IDF]
    kept = np.union1d(kept[kept > 0], [0])
    rows = len(idf)
    bits = np.zeros(-(-rows // 8) * 8, dtype=np.uint8)
    bits[kept] = 1
    groups = bits.reshape(-1, 8)
    before = np.concatenate([[0], groups.sum(axis=1, dtype=np.int64).cumsum()[:-1]])
    network["ngrams.kept"] = np.packbits(groups, axis=1, bitorder="little").reshape(-1)
    network["ngrams.places"] = _bit_ranks()
    network[NGRAMS] = np.concatenate([np.zeros_like(weights[:1]), weights[kept]])
    network[IDF] = np.concatenate([[absent_idf], idf[kept]]).astype(np.float32)
    readers = network.lookups(NGRAMS, IDF)
    old_rows = readers[0].input[1]
    first = min(list(network.model.graph.node).index(node) for node in readers)
    for node in readers:
        node.input[1] = "kept_rows"
    network["int_8"] = np.array([8])
    network["int_1"] = np.array([1])
    lookup = _integer_lookup(network, "ngrams.before", before, at="kept.byte", to="kept.before")
    network.insert(first, _rank(old_rows, lookup))


def _integer_lookup(
    network: OnnxParts, table: str, numbers: Ids, *, at: str, to: str
) -> list[onnx.NodeProto]:
    """Adds a table of integers ≥ 0 and returns the nodes that look them up.

    The table has their digits to the base 256. Integers of 16 bits would take two nodes and the
    same space, but the onnxruntime-web of Transformers.js has no cast from them.
    """
    digits = max(1, -(-int(numbers.max()).bit_length() // 8))
    shifts = 8 * np.arange(digits)
    network[table] = (numbers[:, None] >> shifts & 255).astype(np.uint8)
    network[f"{table}.worth"] = np.int64(1) << shifts
    network["axis_last"] = np.array([-1])
    return [
        _node("Gather", table, at, to=f"{to}.stored"),
        _node("Cast", f"{to}.stored", to=f"{to}.digits", type=TensorProto.INT64),
        _node("Mul", f"{to}.digits", f"{table}.worth", to=f"{to}.parts"),
        _node("ReduceSum", f"{to}.parts", "axis_last", to=to, keepdims=0),
    ]


def _bit_ranks() -> NDArray[np.uint8]:
    """For each byte and bit: 0 if the bit is not set, else the number of bits set up to it.

    Shape `(2048,)`, at index 8 × byte + bit.
    """
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
    return (bits * bits.cumsum(axis=1)).astype(np.uint8).reshape(-1)


def _rank(old_rows: str, lookup: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Nodes from rows of the original table to rows of the pruned one; 0 for removed rows."""
    return [
        _node("Div", old_rows, "int_8", to="kept.byte"),
        _node("Mod", old_rows, "int_8", to="kept.bit"),
        _node("Gather", "ngrams.kept", "kept.byte", to="kept.bits.stored"),
        _node("Cast", "kept.bits.stored", to="kept.bits", type=TensorProto.INT64),
        _node("Mul", "kept.bits", "int_8", to="kept.of_byte"),
        _node("Add", "kept.of_byte", "kept.bit", to="kept.entry"),
        _node("Gather", "ngrams.places", "kept.entry", to="kept.place.stored"),
        _node("Cast", "kept.place.stored", to="kept.place", type=TensorProto.INT64),
        *lookup,
        _node("Min", "kept.place", "int_1", to="kept.is_kept"),
        _node("Mul", "kept.before", "kept.is_kept", to="kept.if_kept"),
        _node("Add", "kept.if_kept", "kept.place", to="kept_rows"),
    ]


def _node(operator: str, *inputs: str, to: str, **attributes: object) -> onnx.NodeProto:
    """A node named like its output; `type` is the result type of a cast."""
    if operator == "Cast":
        attributes = {"to": attributes["type"]}
    return helper.make_node(operator, inputs, [to], to, **attributes)
