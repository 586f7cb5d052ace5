"""Smaller networks out of a trained one: fewer tokens, fewer n-grams, narrower vectors.

Works on the ONNX network as `gatewise.training.onnx_export.keras_to_onnx` writes it, whose
constants it knows by name.
What stays gives the same answers as before:

- **Tokens** that go become unknown. Those that stay are numbered anew, in their order, and the
  n-gram path is told their old numbers, which its hash is made of.
- **N-grams** that go have no weights. Which rows of the table are left stands in a bit for each,
  with the number of rows before each byte of bits: a row is found by counting, in a few operators
  on integers, and three bits a row are all that a missing one costs (a rank structure; Jacobson,
  1989, https://doi.org/10.1109/SFCS.1989.63533).
- **Vectors** of tokens, and the rows of the n-gram table, are turned so that most of what they
  differ by is in the first numbers, and the others are left out; the turn is taken into the weights
  that they are multiplied with. N-grams that have a weight for every class get such weights.

Knows neither texts nor how good a network is; which ones to keep is its caller's to say.
"""

from dataclasses import dataclass

import numpy as np
import onnx
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
from numpy.typing import NDArray
from onnx import TensorProto, helper

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class PruningPlan:
    """What is left of a network; None leaves it as it is.

    Attributes:
        tokens: Ids of the tokens that stay, ascending, the special ones among them.
        ngrams: Rows of the n-gram table that stay, ascending.
        absent: How much an n-gram without a row tells: what it adds to a text's length.
        width: Numbers of a token's vector.
        ngram_width: Numbers of an n-gram's row.
    """

    tokens: Ids | None = None
    ngrams: Ids | None = None
    absent: float = 0.0
    width: int | None = None
    ngram_width: int | None = None


def prune(model: onnx.ModelProto, plan: PruningPlan) -> onnx.ModelProto:
    """The network that is left.

    Args:
        model: From `gatewise.training.onnx_export.keras_to_onnx`, with weights in 32-bit floats.
        plan: What stays. `width` needs a network with vectors, `ngrams` and `ngram_width` one
            with n-grams.
    """
    network = OnnxParts.copy_of(model)
    if plan.width is not None:
        _narrow(network, plan.width)
    if plan.ngram_width is not None:
        _narrow_ngrams(network, plan.ngram_width)
    if plan.ngrams is not None:
        _keep_ngrams(network, plan.ngrams, plan.absent)
    if plan.tokens is not None:
        _keep_tokens(network, plan.tokens)
    onnx.checker.check_model(network.model, full_check=True)
    return network.model


def is_pruned(network: OnnxParts) -> bool:
    """Whether `shrunk` has left out tokens or n-grams of it: its tables cannot be read again."""
    return "tokens.old" in network or "ngrams.kept" in network


def token_tables(network: OnnxParts) -> list[str]:
    """The tables with a row for each token: the vectors, or the kernels of a one-hot input."""
    if EMBEDDING in network:
        return [EMBEDDING]
    return sorted(name for name in network if name.endswith(".rows"))


def ngram_effect(network: OnnxParts, *, multi_label: bool) -> NDArray[np.float64]:
    """How much each row of the n-gram table has to say, over the texts that were learnt from.

    The length of what it adds to the logits, in proportion to the texts that have it; of a
    softmax, which what is the same for every class leaves as it is, only what differs. The number
    of texts follows from what the row tells, `1 + ln((1 + texts) / (1 + those that have it))`.

    Returns:
        Shape `(rows,)`; zero for the row of padding and for n-grams that no text had.
    """
    weights = network[NGRAMS].astype(np.float64)
    if NGRAM_KERNEL in network:
        kernel = network[NGRAM_KERNEL].astype(np.float64)
        if not multi_label:
            kernel = kernel - kernel.mean(axis=1, keepdims=True)
        # As long as `weights @ kernel`, without a number for every row and every class.
        _, factor = np.linalg.qr(kernel.T)
        weights = weights @ factor.T
    elif not multi_label:
        weights = weights - weights.mean(axis=1, keepdims=True)
    return np.asarray(np.linalg.norm(weights, axis=1) * _frequency(network[IDF]))


def _frequency(told: Weights) -> NDArray[np.float64]:
    """In how many texts n-grams were, in proportion, by how much they tell; see `ngram_effect`."""
    wide = told.astype(np.float64)
    return np.where(wide > 0, np.exp(wide.max() - wide), 0.0)


def token_effect(
    network: OnnxParts, of_ngrams: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """How much each token has to say, over the texts that were learnt from.

    By its weights in the n-gram path where single tokens have some. Else by its id: of the
    entries of a dictionary the first are the most frequent.

    Args:
        network: The network.
        of_ngrams: What `ngram_effect` says of it; None of a network without n-grams.

    Returns:
        Shape `(tokens,)`, special tokens highest.
    """
    tokens = len(network[token_tables(network)[0]])
    effect = 1.0 / np.arange(1, tokens + 1)
    if of_ngrams is not None and len(of_ngrams) >= tokens and of_ngrams[:tokens].any():
        effect = of_ngrams[:tokens].copy()
    effect[: len(SPECIAL_TOKENS)] = np.inf
    return effect


def _narrow(network: OnnxParts, width: int) -> None:
    table, kernel = network[EMBEDDING].astype(np.float64), network[FIRST_KERNEL]
    often = 1.0 / np.arange(1, len(table) + 1)
    if IDF in network and (network[IDF][: len(table)] > 0).any():
        often = _frequency(network[IDF][: len(table)])
    often[: len(SPECIAL_TOKENS)] = often.max()
    often[PAD_ID] = 0.0  # which no text has
    # The directions in which the vectors of a text's tokens differ from zero most, on average.
    _, directions = np.linalg.eigh((table * often[:, None]).T @ table)
    turn = directions[:, ::-1][:, :width]
    network[EMBEDDING] = (table @ turn).astype(np.float32)
    network[FIRST_KERNEL] = (kernel.astype(np.float64) @ turn).astype(np.float32)


def _narrow_ngrams(network: OnnxParts, width: int) -> None:
    table = network[NGRAMS].astype(np.float64)
    has_kernel = NGRAM_KERNEL in network
    kernel = network[NGRAM_KERNEL].astype(np.float64) if has_kernel else np.eye(table.shape[1])
    often = _frequency(network[IDF])
    # The directions of the logits in which the n-grams differ from zero most: those of `table @
    # kernel`, by way of a matrix that has the same ones and as few rows as a vector has numbers.
    values, axes = np.linalg.eigh((table * often[:, None]).T @ table)
    small = (np.sqrt(np.maximum(values, 0))[:, None] * axes.T) @ kernel
    _, _, directions = np.linalg.svd(small, full_matrices=False)
    turn = directions[:width]
    network[NGRAMS] = (table @ (kernel @ turn.T)).astype(np.float32)
    network[NGRAM_KERNEL] = turn.astype(np.float32)
    if not has_kernel:
        _multiply(network)


def _multiply(network: OnnxParts) -> None:
    """Has the sum of a text's rows multiplied by the kernel, which was not there before."""
    (found,) = (node.output[0] for node in network.lookups(NGRAMS))
    nodes = list(network.model.graph.node)
    place, summed = next(
        (place, node)
        for place, node in enumerate(nodes)
        if node.op_type == "ReduceSum" and node.input[0] == found
    )
    wide = summed.output[0]
    summed.output[0] = f"{wide}.narrow"
    inputs = [summed.output[0], NGRAM_KERNEL]
    network.insert(place + 1, [helper.make_node("MatMul", inputs, [wide], f"{wide}.multiplied")])


def _keep_tokens(network: OnnxParts, tokens: Ids) -> None:
    tables = token_tables(network)
    for name in tables:
        network[name] = network[name][tokens]
    (ids, *_) = {node.input[1] for node in network.lookups(*tables)}
    readers = [
        (place, node)
        for place, node in enumerate(network.model.graph.node)
        if ids in node.input and node.input[0] not in tables
    ]
    if not readers:
        return
    nodes = _numbers_in(network, "tokens.old", tokens, at=ids, to="old_ids")
    for _, node in readers:
        for place, name in enumerate(node.input):
            if name == ids:
                node.input[place] = "old_ids"
    network.insert(readers[0][0], nodes)


def _keep_ngrams(network: OnnxParts, kept: Ids, absent: float) -> None:
    """Makes row 0 what every missing n-gram has, and row 1 that of padding, which has nothing."""
    weights, told = network[NGRAMS], network[IDF]
    kept = np.union1d(kept[kept > 0], [0])
    rows = len(told)
    bits = np.zeros(-(-rows // 8) * 8, dtype=np.uint8)
    bits[kept] = 1
    groups = bits.reshape(-1, 8)
    before = np.concatenate([[0], groups.sum(axis=1, dtype=np.int64).cumsum()[:-1]])
    network["ngrams.kept"] = np.packbits(groups, axis=1, bitorder="little").reshape(-1)
    network["ngrams.places"] = _places()
    network[NGRAMS] = np.concatenate([np.zeros_like(weights[:1]), weights[kept]])
    network[IDF] = np.concatenate([[absent], told[kept]]).astype(np.float32)
    readers = network.lookups(NGRAMS, IDF)
    asked = readers[0].input[1]
    first = min(list(network.model.graph.node).index(node) for node in readers)
    for node in readers:
        node.input[1] = "kept_rows"
    network["int_8"] = np.array([8])
    network["int_1"] = np.array([1])
    found = _numbers_in(network, "ngrams.before", before, at="kept.byte", to="kept.before")
    network.insert(first, _counting(asked, found))


def _numbers_in(
    network: OnnxParts, table: str, numbers: Ids, *, at: str, to: str
) -> list[onnx.NodeProto]:
    """Adds a table of numbers from 0 on, and gives the nodes that look them up.

    It holds their digits to the base 256. In 16 bits they would take two nodes and as much room,
    but the onnxruntime-web that Transformers.js brings has no cast from those.
    """
    digits = max(1, -(-int(numbers.max()).bit_length() // 8))
    worth = 8 * np.arange(digits)
    network[table] = (numbers[:, None] >> worth & 255).astype(np.uint8)
    network[f"{table}.worth"] = np.int64(1) << worth
    network["axis_last"] = np.array([-1])
    return [
        _node("Gather", table, at, to=f"{to}.stored"),
        _node("Cast", f"{to}.stored", to=f"{to}.digits", type=TensorProto.INT64),
        _node("Mul", f"{to}.digits", f"{table}.worth", to=f"{to}.parts"),
        _node("ReduceSum", f"{to}.parts", "axis_last", to=to, keepdims=0),
    ]


def _places() -> NDArray[np.uint8]:
    """For each byte and each of its bits: 0 if it is not set, else how many are up to it.

    Shape `(2048,)`, at eight times the byte plus the bit.
    """
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
    return (bits * bits.cumsum(axis=1)).astype(np.uint8).reshape(-1)


def _counting(asked: str, before: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """From rows of the whole table to rows of the one that is left, 0 for those that are not."""
    return [
        _node("Div", asked, "int_8", to="kept.byte"),
        _node("Mod", asked, "int_8", to="kept.bit"),
        _node("Gather", "ngrams.kept", "kept.byte", to="kept.bits.stored"),
        _node("Cast", "kept.bits.stored", to="kept.bits", type=TensorProto.INT64),
        _node("Mul", "kept.bits", "int_8", to="kept.of_byte"),
        _node("Add", "kept.of_byte", "kept.bit", to="kept.entry"),
        _node("Gather", "ngrams.places", "kept.entry", to="kept.place.stored"),
        _node("Cast", "kept.place.stored", to="kept.place", type=TensorProto.INT64),
        *before,
        _node("Min", "kept.place", "int_1", to="kept.is_kept"),
        _node("Mul", "kept.before", "kept.is_kept", to="kept.if_kept"),
        _node("Add", "kept.if_kept", "kept.place", to="kept_rows"),
    ]


def _node(operator: str, *inputs: str, to: str, **attributes: object) -> onnx.NodeProto:
    """A node that is called as its output is; of a cast, `type` is what it gives."""
    if operator == "Cast":
        attributes = {"to": attributes["type"]}
    return helper.make_node(operator, inputs, [to], to, **attributes)
