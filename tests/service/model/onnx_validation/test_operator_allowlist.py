"""Every network that can be trained is admitted, and what its nodes give is known by its type."""

import itertools

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from gatewise.service.model.errors import NetworkError
from gatewise.service.model.model_config import PRECISIONS
from gatewise.service.model.onnx_validation import onnx_parser, operator_allowlist
from gatewise.service.model.onnx_validation import parsed_network as parts
from gatewise.service.model.onnx_validation.operator_allowlist import OPERATORS
from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.mobile.onnx_parts import NGRAMS, OnnxParts
from gatewise.training.mobile.pruning import PruningPlan, prune
from gatewise.training.network.build import build
from gatewise.training.network.shape import Shape
from gatewise.training.network.streaming import MAX_NGRAM_ROWS
from gatewise.training.onnx_export.keras_to_onnx import to_onnx
from gatewise.training.onnx_export.precision import convert_precision
from gatewise.training.onnx_export.step_model import build_step_model

CLASSES, VOCABULARY = 5, 40


def lowered(config: NetworkConfig, ngrams: tuple[int, ...] = (1, 2, 3), **sizes) -> bytes:
    sizes = {"vocab_size": VOCABULARY, "classes": CLASSES, "buckets": 30, **sizes}
    model = build(config, Shape(ngrams=ngrams, **sizes), seed=1)
    return to_onnx(model, config).SerializeToString()


@pytest.fixture(scope="module")
def networks() -> dict[str, bytes]:
    """A network of every cell, direction, read-out and input."""
    found = {}
    ways = itertools.product(
        ["gru", "lstm", "rnn"], ["forward", "backward", "bidirectional"], ["embedding", "one_hot"]
    )
    readouts = itertools.cycle(["last", "max", "mean", "max_mean", "attention"])
    for number, ((cell, direction, given), readout) in enumerate(zip(ways, readouts, strict=False)):
        config = NetworkConfig(
            cell=cell,
            direction=direction,
            readout=readout,
            input=given,
            layers=1 + number % 2,
            units=3,
            embedding_size=4,
            reset_after=cell != "gru" or number % 2 == 0,
        )
        ngrams = [(), (1,), (2,), (1, 2, 3)][number % 4]
        width = 2 if number % 3 == 0 else None
        found[f"{cell} {direction} {readout} {given}"] = lowered(config, ngrams, ngram_width=width)
    config = NetworkConfig(units=16, embedding_size=16)
    whole = onnx.load_from_string(lowered(config, buckets=300))
    generator = np.random.default_rng(0)
    table = OnnxParts(whole)[NGRAMS]
    # Few large numbers among many small ones, as in a table that has learnt.
    OnnxParts(whole)[NGRAMS] = (generator.normal(size=table.shape) ** 5).astype(np.float32)
    kept = np.arange(0, 90, 2)
    plan = PruningPlan(np.arange(0, VOCABULARY, 3), kept, absent=1.0, width=8, ngram_width=3)
    for name, model in (("whole", whole), ("small", prune(whole, plan))):
        for precision in PRECISIONS:
            stored = convert_precision(model, precision)
            found[f"{name} {precision}"] = stored.SerializeToString()
    return found


@pytest.fixture(scope="module")
def stepwise() -> dict[str, bytes]:
    """A network of every cell and read-out that reads one token at a time."""
    found = {}
    readouts = itertools.cycle(["last", "max", "mean", "max_mean", "attention"])
    ways = itertools.product(["gru", "lstm", "rnn"], ["embedding", "one_hot"], [1, 2])
    for number, ((cell, given, layers), readout) in enumerate(zip(ways, readouts, strict=False)):
        config = NetworkConfig(
            cell=cell,
            direction="forward",
            readout=readout,
            input=given,
            layers=layers,
            units=3,
            embedding_size=4,
        )
        ngrams = [(), (1,), (2,), (1, 2, 3, 4, 5, 6, 7, 8)][number % 4]
        width = 2 if number % 3 == 0 else None
        shape = Shape(VOCABULARY, CLASSES, ngrams, 30, width)
        whole = to_onnx(build(config, shape, seed=1), config)
        longest = MAX_NGRAM_ROWS // 8 if ngrams else 100_000
        one_token = build_step_model(whole, config, shape.table() if ngrams else None, longest)
        found[f"{cell} {readout} {given} {layers}"] = one_token.SerializeToString()
    return found


def test_no_operator_is_admitted_that_is_never_written(networks):
    written = set().union(*(onnx_parser.read(each).operators for each in networks.values()))
    assert written == set(OPERATORS)


def test_every_network_that_can_be_trained_is_admitted_and_its_types_are_known(networks):
    ids = np.arange(1, 7).reshape(2, 3)
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    for name, contents in networks.items():
        network = onnx_parser.read(contents)
        assert network.ends.classes == CLASSES, name
        has_types(name, contents, operator_allowlist.check(network), inputs)


def test_every_network_that_reads_one_token_is_admitted_and_its_types_are_known(stepwise):
    for name, contents in stepwise.items():
        network = onnx_parser.read_step(contents)
        assert network.ends.classes == CLASSES, name
        inputs = {"input_ids": np.array([3])}
        for each in onnx.load_from_string(contents).graph.input[1:]:
            sizes = each.type.tensor_type.shape.dim
            shape = [size.dim_value or 1 for size in sizes]
            inputs[each.name] = np.zeros(shape, network.ends.inputs[each.name])
        has_types(name, contents, operator_allowlist.check(network), inputs)


def has_types(name, contents, types, inputs):
    given = {name for node in onnx.load_from_string(contents).graph.node for name in node.output}
    for output, array in everything(contents, sorted(given), inputs).items():
        assert types[output] == array.dtype, f"{name}: {output}"


def test_one_kind_of_network_is_not_taken_for_the_other(networks, stepwise):
    (whole, *_), (one_token, *_) = networks.values(), stepwise.values()
    with pytest.raises(NetworkError, match="expected inputs input_ids and state"):
        onnx_parser.read_step(whole)
    with pytest.raises(NetworkError, match="expected inputs attention_mask and input_ids"):
        onnx_parser.read(one_token)


def everything(contents: bytes, names: list[str], inputs) -> dict[str, np.ndarray]:
    """Every value of a network when it is run."""
    model = onnx.load_from_string(contents)
    known = {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options)
    return dict(zip(names, session.run(names, inputs), strict=True))


def test_a_network_is_checked_by_onnx_itself(networks):
    for contents in networks.values():
        onnx.checker.check_model(onnx.load_from_string(contents), full_check=True)


INTEGER, FLOAT = np.dtype(np.int64), np.dtype(np.float32)
CONSTANTS = {
    "two": parts.Value(INTEGER, (1,), (2,)),
    "zero": parts.Value(INTEGER, (2,), (2, 0)),
    "floats": parts.Value(FLOAT, (3,)),
}


def node(operator: str, *inputs: str, to: str = "logits", **attributes) -> parts.Node:
    return parts.Node(operator, "n", inputs, (to,), attributes)


def check(*nodes: parts.Node) -> None:
    ends = parts.Ends({"ids": INTEGER}, {"logits": FLOAT})
    operator_allowlist.check(parts.ParsedNetwork(nodes, CONSTANTS, ends))


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([node("Tile", "ids", "two")], "operator Tile is none that Gatewise writes"),
        ([node("Add", "floats")], "Add n: Gatewise writes none of 1 inputs and 1 outputs"),
        ([node("Exp", "floats", axis=1)], "Exp n: Gatewise writes none with axis"),
        (
            [node("Exp", "later"), node("Exp", "floats", to="later")],
            "nothing before it gives later",
        ),
        ([node("Exp", "floats"), node("Exp", "floats")], "two values are called logits"),
        ([node("Exp", "floats", to="ids")], "two values are called ids"),
        ([node("Exp", "floats", to="other")], "nothing gives its output logits"),
        ([node("Abs", "ids")], "expected logits of type float32, it is int64"),
        ([node("Cast", "ids", to="logits")], "a type of numbers that has no use here"),
        ([node("Mod", "ids", "zero")], "expected a constant above zero to divide by"),
        ([node("Mod", "ids", "ids")], "expected a constant above zero to divide by"),
        ([node("Div", "ids", "zero")], "expected a constant above zero to divide by"),
        ([node("Div", "two", "ids")], "expected a constant above zero to divide by"),
        ([node("Mod", "floats", "floats")], "expected a constant above zero to divide by"),
    ],
)
def test_a_node_that_gatewise_does_not_write_is_refused(nodes, reason):
    with pytest.raises(NetworkError, match=reason):
        check(*nodes)


def test_floats_are_divided_by_anything_and_integers_by_constants():
    check(
        node("Div", "ids", "two", to="half"),
        node("Mod", "half", "two", to="rest"),
        node("Div", "floats", "floats"),
    )
